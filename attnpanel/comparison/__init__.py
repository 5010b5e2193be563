"""Compare two traces: which tokens correspond, how attention differs, and in which heads."""

from __future__ import annotations

from attnpanel.comparison.alignment import Pairs, align
from attnpanel.comparison.difference import attention_difference, moved_shares
from attnpanel.comparison.initial_state import opening
from attnpanel.comparison.presets import READY, Ready
from attnpanel.comparison.score_contrast import ScoreContrast, score_contrast
from attnpanel.comparison.search import HeadChange, heads_by_change

__all__ = [
    "READY",
    "HeadChange",
    "Pairs",
    "Ready",
    "ScoreContrast",
    "align",
    "attention_difference",
    "heads_by_change",
    "moved_shares",
    "opening",
    "score_contrast",
]
