"""What the weights of heads say in numbers, each with its formula and source."""

from __future__ import annotations

from attnpanel.analysis.across_heads import head_affinity
from attnpanel.analysis.head_numbers import (
    diagonal,
    effective_keys,
    entropy,
    first_key,
    induction,
    mean_distance,
    previous_token,
)
from attnpanel.analysis.table import NUMBERS, analyze, numbers_of_heads
from attnpanel.analysis.through_layers import flow, rollout

__all__ = [
    "NUMBERS",
    "analyze",
    "diagonal",
    "effective_keys",
    "entropy",
    "first_key",
    "flow",
    "head_affinity",
    "induction",
    "mean_distance",
    "numbers_of_heads",
    "previous_token",
    "rollout",
]
