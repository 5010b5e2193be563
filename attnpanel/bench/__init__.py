"""The benchmark suite, `attnpanel bench`. Nothing else in attnpanel imports it."""

from attnpanel.bench.certify.examination import certify

__all__ = ["certify"]
