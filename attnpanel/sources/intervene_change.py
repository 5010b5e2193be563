"""What one ``intervene`` block changes: which calls, which heads, and how."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from attnpanel.sources.capture_recorder import qualified_names
from attnpanel.sources.intervene_place import heads_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from attnpanel.sources.intervene_masks import MaskRule
    from attnpanel.sources.intervene_scale import ScaleRule
    from attnpanel.sources.intervene_weights import WeightsRule


@dataclass(frozen=True, eq=False)
class Change:
    """How chosen heads differ from the model's own.

    Attributes
    ----------
    temperature : float
        Divides the scores inside the softmax.
    mask : MaskRule or None
        Hides keys beside those the model hides.
    weights : WeightsRule or None
        Stand in place of the softmax's.
    scale : ScaleRule or None
        Multiplies the head's output, before heads are put together.
    """

    temperature: float = 1.0
    mask: MaskRule | None = None
    weights: WeightsRule | None = None
    scale: ScaleRule | None = None

    @property
    def reweighs(self) -> bool:
        """Whether the weights change, and not only what becomes of them."""
        return self.temperature != 1 or self.mask is not None or self.weights is not None


class Intervention:
    """One block: the model, the calls that are meant, their change, and what was met.

    Parameters
    ----------
    model : torch.nn.Module
    layers : sequence of str
        Globs over the modules' qualified names.
    heads : tuple of int, slice or None
        The heads that are meant in each layer; None: all.
    change : Change
    folded_heads : int or None
        How many heads lie in the batch of three axes, where the caller tells it.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layers: Sequence[str],
        heads: tuple[int, ...] | slice | None,
        change: Change,
        folded_heads: int | None = None,
    ) -> None:
        self.names = qualified_names(model)
        self.model = model  # keeps the ids above valid
        self.layers, self.heads, self.change = tuple(layers), heads, change
        self.folded_heads = folded_heads
        self.calls: dict[str, int] = {}
        self.others: list[str] = []
        # The layers of calls whose output a scale should change and has not reached, one a call.
        self.unscaled: list[str] = []

    def owns(self, modules: tuple[nn.Module, ...]) -> bool:
        """Whether a call in these modules, innermost first, is this model's."""
        return self._layer(modules) is not None

    def wants(self, modules: tuple[nn.Module, ...]) -> bool:
        """Whether a call in these modules is meant."""
        layer = self._layer(modules)
        if layer is None:
            return False
        if self._matches(layer):
            return True
        self.others.append(layer)
        return False

    def layer_of(self, modules: tuple[nn.Module, ...]) -> str:
        """Name the layer of a call that is this model's."""
        layer = self._layer(modules)
        assert layer is not None  # noqa: S101 - asked of wanted calls only
        return layer

    def reaches_into(self, module: nn.Module) -> bool:
        """Whether a call inside this module may be meant."""
        names = (self.names.get(id(one)) for one in module.modules())
        return any(name is not None and self._matches(name) for name in names)

    def chosen(self, heads: int, layer: str) -> tuple[int, ...]:
        """Return the heads that are meant, in a layer of so many."""
        return heads_in(self.heads, heads, layer)

    def turn(self, layer: str) -> int:
        """Count a call of a layer; return how many it had before."""
        before = self.calls.get(layer, 0)
        self.calls[layer] = before + 1
        return before

    def never_scaled(self) -> tuple[str, ...]:
        """Name the layers in none of whose calls the scale has reached an output."""
        return tuple(
            layer for layer, count in self.calls.items() if self.unscaled.count(layer) == count
        )

    def _layer(self, modules: tuple[nn.Module, ...]) -> str | None:
        return next((self.names[id(m)] for m in modules if id(m) in self.names), None)

    def _matches(self, layer: str) -> bool:
        return any(fnmatchcase(layer, pattern) for pattern in self.layers)
