"""Exercises: a task on a trace, a hint, and a check of the explorer's state."""

from __future__ import annotations

from attnpanel.pages.exercises.exercise import Exercise, Verdict
from attnpanel.pages.exercises.table import EXERCISES

__all__ = ["EXERCISES", "Exercise", "Verdict"]
