"""The comparison suite: `python -m bench`. Never imported by attnpanel."""

from bench.agreement import certify

__all__ = ["certify"]
