"""Errors that tell a person which command mends them."""

from __future__ import annotations


class MissingDependencyError(ImportError):
    """A package that is not always installed is needed; the message says what brings it."""
