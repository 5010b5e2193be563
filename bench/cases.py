"""What is computed: a request, and the kind of numbers it is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnpanel.kernels.request import Request  # noqa: TC001 - get_type_hints looks it up

InputKind = Literal["randn", "peaked", "outlier", "large"]


@dataclass(frozen=True)
class Case:
    """One attention call to be certified or timed.

    Attributes
    ----------
    request : Request
    kind : {"randn", "peaked", "outlier", "large"}
        How the numbers are drawn. Never uniform in 0..1: near-equal weights are the easiest case.
    seed : int
    """

    request: Request
    kind: InputKind = "randn"
    seed: int = 0

    @property
    def name(self) -> str:
        """What tells it from every other, in words: ``causal B1 H8 T1024 D64 float32 randn``."""
        request = self.request
        parts = [
            request.mask,
            request.align if request.align != "top_left" else "",
            "" if request.pad_lens is None else "pad " + ",".join(map(str, request.pad_lens)),
            "" if request.window is None else f"window {request.window}",
            f"B{request.batch}",
            f"H{request.heads}" + f"/{request.kv_heads}" * (request.kv_heads != request.heads),
            f"T{request.query_len}",
            f"S{request.key_len}" if request.key_len != request.query_len else "",
            f"D{request.head_dim}",
            f"Dv{request.value_dim}" if request.value_dim != request.head_dim else "",
            request.dtype,
            self.kind,
            "bias" if request.bias else "",
            "" if request.scale is None else f"scale {request.scale:g}",
            "" if request.temperature == 1 else f"temperature {request.temperature:g}",
            request.device if request.device != "cpu" else "",
            f"seed {self.seed}" if self.seed else "",
        ]
        return " ".join(part for part in parts if part)
