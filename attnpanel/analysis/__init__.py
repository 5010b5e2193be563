"""Metrics of attention heads, each with its formula and source."""

from __future__ import annotations

from attnpanel.analysis.affinity import head_affinity
from attnpanel.analysis.explanation import (
    PairExplanation,
    Promoted,
    ScoreSteps,
    Written,
    explain,
    written,
)
from attnpanel.analysis.head_metrics import (
    diagonal,
    effective_keys,
    entropy,
    first_key,
    induction,
    mean_distance,
    previous_token,
)
from attnpanel.analysis.layer_flow import flow, rollout
from attnpanel.analysis.table import NUMBERS, analyze, numbers_of_heads

__all__ = [
    "NUMBERS",
    "PairExplanation",
    "Promoted",
    "ScoreSteps",
    "Written",
    "analyze",
    "diagonal",
    "effective_keys",
    "entropy",
    "explain",
    "first_key",
    "flow",
    "head_affinity",
    "induction",
    "mean_distance",
    "numbers_of_heads",
    "previous_token",
    "rollout",
    "written",
]
