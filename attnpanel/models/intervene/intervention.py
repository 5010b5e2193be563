"""One ``intervene`` block: which calls and heads it changes, and how."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from attnpanel.models.intercept.audit import LayerAudit
from attnpanel.models.intercept.batched_heads import declared_heads
from attnpanel.models.intercept.loop_turns import is_turn, loop_axis
from attnpanel.models.intercept.module_names import ModelLayers
from attnpanel.models.intercept.tracked_scores import NO_VALUES
from attnpanel.models.intervene.hidden_positions import HiddenPositions
from attnpanel.models.intervene.target import resolve_heads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from attnpanel.models.intercept.loop_turns import Place
    from attnpanel.models.intervene.masks import MaskRule
    from attnpanel.models.intervene.scale import ScaleRule
    from attnpanel.models.intervene.target import CallTarget
    from attnpanel.models.intervene.weights import WeightsRule


@dataclass(frozen=True, eq=False)
class AttentionChange:
    """How the attention of chosen heads is changed.

    Attributes
    ----------
    temperature : float
        Divides the scores inside the softmax.
    mask : MaskRule or None
        Hides keys in addition to those the model hides.
    weights : WeightsRule or None
        Replaces the softmax's weights.
    scale : ScaleRule or None
        Multiplies the head's output, before the heads are concatenated.
    """

    temperature: float = 1.0
    mask: MaskRule | None = None
    weights: WeightsRule | None = None
    scale: ScaleRule | None = None

    @property
    def changes_weights(self) -> bool:
        """Whether the weights change, and not only the output."""
        return self.temperature != 1 or self.mask is not None or self.weights is not None


class Intervention:
    """One block: its model, layers, heads and change, and the calls it has seen.

    Parameters
    ----------
    model : torch.nn.Module
    layers : sequence of str
        Glob patterns for the modules' qualified names.
    heads : tuple of int, slice or None
        The heads to change in each layer; None: all.
    change : AttentionChange
    passes : tuple of int or None
        Which calls of each layer to change, counted from 0 in the block; None: all.
    folded_heads : int or None
        Number of heads folded into a batch of three axes, where the caller knows it.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layers: Sequence[str],
        heads: tuple[int, ...] | slice | None,
        change: AttentionChange,
        passes: tuple[int, ...] | None = None,
        folded_heads: int | None = None,
    ) -> None:
        self.model = model
        self._names = ModelLayers(model)
        self.audit = LayerAudit(self._names)
        self.layers, self.heads, self.change = tuple(layers), heads, change
        self.passes, self.folded_heads = passes, folded_heads
        self.hidden = HiddenPositions(change.mask)
        # Calls of each layer chosen, and those of them in a chosen pass.
        self.call_counts: dict[str, int] = {}
        self.changed_counts: dict[str, int] = {}
        self.other_layers: list[str] = []
        # Where query and key of each layer's latest call lie in memory.
        self._places: dict[str, tuple[Place, ...]] = {}
        # Layers some of whose knocked-out heads still gave an output.
        self.leaking: dict[str, None] = {}
        # Layers that changed their weights again, after the softmax.
        self.altered: dict[str, None] = {}
        # Layers of calls whose output should be scaled and is not yet, one entry a call.
        self.unscaled: list[str] = []

    def owns(self, modules: tuple[nn.Module, ...]) -> bool:
        """Whether a call in these modules, innermost first, is this model's."""
        return self._layer(modules) is not None

    def targets(self, modules: tuple[nn.Module, ...]) -> bool:
        """Whether a call in these modules is to be changed; note its layer if not."""
        layer = self._layer(modules)
        if layer is None:
            return False
        if self._matches(layer):
            return True
        self.other_layers.append(layer)
        return False

    def layer_of(self, modules: tuple[nn.Module, ...]) -> str:
        """Return the layer name of a call that is this model's."""
        layer = self._layer(modules)
        assert layer is not None  # noqa: S101 - called for targeted calls only
        return layer

    def layer_module(self, modules: tuple[nn.Module, ...]) -> nn.Module:
        """Return the module that names a call in these modules."""
        return next(m for m in modules if self._names.names.get(id(m)) is not None)

    def targets_inside(self, module: nn.Module) -> bool:
        """Whether a call inside this module may be changed."""
        names = (self._names.names.get(id(part)) for part in module.modules())
        return any(name is not None and self._matches(name) for name in names)

    def heads_of(self, layer: str, count: int) -> tuple[int, ...]:
        """Return the heads to change in a layer of `count` heads.

        Raises
        ------
        ValueError
            If the layer has no such head, or calls its heads one by one.
        """
        declared = declared_heads((self._names.module(layer),))
        if self.heads is not None and count == 1 and declared and declared[0] > 1:
            raise ValueError(
                f"head cannot be chosen in layer {layer!r}, which computes its {declared[0]} heads "
                f"in a loop, a call each: passes=h is head h of its first run; got {self.heads!r}"
            )
        return resolve_heads(self.heads, count, layer)

    def begin_call(self, target: CallTarget) -> int | None:
        """Count a call; return how many its layer had before, None if this pass stays as it is."""
        layer = target.layer
        self.audit.note_call(layer, target.query_len, target.sequence_len)
        self._refuse_turns(target)
        number = self.call_counts.get(layer, 0)
        self.call_counts[layer] = number + 1
        if self.passes is not None and number not in self.passes:
            return None
        self.changed_counts[layer] = self.changed_counts.get(layer, 0) + 1
        self.hidden.note(target)
        return number

    def _refuse_turns(self, target: CallTarget) -> None:
        """Raise ValueError if heads are chosen in a layer that computes them in several calls."""
        layer, places = target.layer, target.places
        before, self._places[layer] = self._places.get(layer, ()), places
        if self.heads is None or not places:
            return
        declared = declared_heads((self._names.module(layer),))
        whole = target.query_len == target.sequence_len
        another = is_turn(places, before, whole=whole)
        every_second = another and bool(declared) and declared[0] > target.heads
        axis = loop_axis(places, before, folded=target.folded, whole=whole)
        if axis in {"heads", "head groups"} or (axis is None and every_second):
            raise ValueError(
                f"head cannot be chosen in layer {layer!r}, which computes its heads in several "
                f"calls: passes=n is its call n; got head={self.heads!r}"
            )

    def passes_beyond_all_calls(self) -> str:
        """Return a sentence on the passes that no layer had; empty if there are none."""
        most = max(self.call_counts.values(), default=0)
        beyond = [number for number in self.passes or () if number >= most]
        if not beyond or not most:
            return ""
        return (
            f"passes={beyond} had no effect: no chosen layer ran more than {most} times, counted "
            "from 0"
        )

    def unscaled_layers(self) -> tuple[str, ...]:
        """Return the layers in none of whose calls the scale has reached an output."""
        return tuple(
            layer
            for layer, count in self.changed_counts.items()
            if self.unscaled.count(layer) == count
        )

    def unreached_layers(self) -> tuple[str, ...]:
        """Return the layers some of whose attention was computed without this block's changes."""
        found: dict[str, None] = {}
        for layer, use in self.audit.uses():
            scales = self.change.scale is not None
            reached = use.intervened and (use.recorded or not scales)
            used = use.recorded or use.met_values
            # What became of changed weights is not known; a scale that reaches none is an error.
            lost = use.intervened and not used and self.change.changes_weights
            if self._matches(layer) and (lost or (used and not reached)):
                found[layer] = None
        # What a capture leaves out cannot be trusted to have been changed as a whole.
        known = {*self.call_counts, *self.other_layers}
        for layer, reason in self.audit.left_out(known).items():
            if self._matches(layer) and reason != NO_VALUES:
                found[layer] = None
        return tuple(found)

    def unsure_layers(self) -> tuple[str, ...]:
        """Return the layers whose outputs are not, or not all, those that were asked for."""
        return tuple(dict.fromkeys([*self.unreached_layers(), *self.leaking]))

    def _layer(self, modules: tuple[nn.Module, ...]) -> str | None:
        return self._names.layer_of(modules)

    def _matches(self, layer: str) -> bool:
        return any(fnmatchcase(layer, pattern) for pattern in self.layers)
