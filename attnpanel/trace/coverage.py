"""Which attention layers of a model a capture has recorded, and which it left out and why."""

from __future__ import annotations

from dataclasses import dataclass

# Layer names that a sentence spells out.
NAMED_LAYERS = 3


@dataclass(frozen=True)
class LayerCoverage:
    """One attention layer that ran during a capture.

    Attributes
    ----------
    layer : str
        The qualified name of its module.
    calls : int
        How many of its calls are in the trace.
    reason : str
        Why its attention is not in the trace, or not all of it; empty if it is.
    """

    layer: str
    calls: int
    reason: str = ""


@dataclass(frozen=True)
class Coverage:
    """The attention layers that ran during a capture.

    Examples
    --------
    >>> print(Coverage((LayerCoverage("layer.0", 1), LayerCoverage("layer.1", 0, "it is fused"))))
    1 of 2 attention layers captured; left out: layer.1 (it is fused)
    """

    layers: tuple[LayerCoverage, ...]

    @property
    def seen(self) -> tuple[str, ...]:
        """The layers whose attention is in the trace, all of it."""
        return tuple(entry.layer for entry in self.layers if not entry.reason)

    @property
    def left_out(self) -> dict[str, str]:
        """The layers whose attention is not, or not all, in the trace, and why."""
        return {entry.layer: entry.reason for entry in self.layers if entry.reason}

    @property
    def complete(self) -> bool:
        """Whether no layer was left out."""
        return not self.left_out

    def __str__(self) -> str:
        sentence = f"{len(self.seen)} of {len(self.layers)} attention layers captured"
        return sentence + (f"; left out: {'; '.join(self.reasons())}" if self.left_out else "")

    def reasons(self) -> list[str]:
        """Return a phrase for each reason, with the layers that it holds for."""
        layers: dict[str, list[str]] = {}
        for layer, reason in self.left_out.items():
            layers.setdefault(reason, []).append(layer)
        return [f"{list_layers(names)} ({reason})" for reason, names in layers.items()]


def list_layers(names: list[str]) -> str:
    """Name the first few layers and count the others."""
    more = len(names) - NAMED_LAYERS
    named = ", ".join(names[:NAMED_LAYERS])
    return f"{named} and {more} more" if more > 0 else named
