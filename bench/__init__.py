"""The benchmark suite, `python -m bench`. Never imported by attnpanel."""

from bench.certify.examination import certify

__all__ = ["certify"]
