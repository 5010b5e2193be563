"""Exercises: a task on a trace, a hint, and a check of what is shown."""

from __future__ import annotations

from attnpanel.exercises.exercise import Exercise, Verdict
from attnpanel.exercises.table import EXERCISES

__all__ = ["EXERCISES", "Exercise", "Verdict"]
