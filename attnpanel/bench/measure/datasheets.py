"""Datasheet figures of known GPUs: dense tensor-core throughput and memory bandwidth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from attnpanel.bench.measure.flop_count import flops, minimal_bytes

if TYPE_CHECKING:
    from attnpanel.kernels.request import Request


@dataclass(frozen=True)
class Datasheet:
    """Datasheet figures of one GPU.

    Attributes
    ----------
    part : str
        Part of the device name that the driver reports.
    title : str
    flops_per_s : dict of dtype to float
        Dense, without sparsity.
    bytes_per_s : float
    """

    part: str
    title: str
    flops_per_s: dict[str, float]
    bytes_per_s: float

    @property
    def words(self) -> str:
        """The figures as text, as stored in a run."""
        rates = ", ".join(
            f"{rate / 1e12:g} TFLOP/s {dtype}{' (dense)' * (dtype != 'float32')}"
            for dtype, rate in self.flops_per_s.items()
        )
        return f"{self.title} datasheet: {rates}, {self.bytes_per_s / 1e12:g} TB/s"

    def least_seconds(self, request: Request) -> float | None:
        """Return the minimal time by these figures; None for a dtype without a figure."""
        dtype = request.dtype
        if dtype == "float16" and dtype not in self.flops_per_s:
            dtype = "bfloat16"  # tensor cores run both at the same rate
        if dtype not in self.flops_per_s:
            return None
        return max(
            flops(request) / self.flops_per_s[dtype], minimal_bytes(request) / self.bytes_per_s
        )


def _sheet(part: str, title: str, tensor: float, float32: float, memory: float) -> Datasheet:
    return Datasheet(
        part, title, {"bfloat16": tensor * 1e12, "float32": float32 * 1e12}, memory * 1e12
    )


# The first entry whose part occurs in the device name applies.
DATASHEETS: Final = (
    _sheet("H200", "H200 SXM", 989, 67, 4.8),
    _sheet("H100 PCIe", "H100 PCIe", 756, 51, 2.0),
    _sheet("H100 NVL", "H100 NVL", 835, 60, 3.9),
    _sheet("H100", "H100 SXM", 989, 67, 3.35),
    _sheet("A100", "A100 SXM", 312, 19.5, 2.0),
    _sheet("L4", "L4", 121, 30.3, 0.3),
    Datasheet("T4", "T4", {"float16": 65e12, "float32": 8.1e12}, 0.32e12),
)


def datasheet_of(name: str) -> Datasheet | None:
    """Return the datasheet of a GPU by its device name; None if it is not in the table."""
    # Whole words only: an L40S is not an L4, and a GH200 not an H200.
    found = (sheet for sheet in DATASHEETS if re.search(rf"\b{sheet.part}\b", name))
    return next(found, None)


def datasheet_in_words(words: str | None) -> Datasheet | None:
    """Return the datasheet whose text is stored in a run."""
    return next((sheet for sheet in DATASHEETS if sheet.words == words), None)
