"""Account for the attention of a model: what ran, and what of it became a call."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

from attnpanel.models.intercept.attention_modules import (
    class_looks_like_attention,
    is_within,
    looks_like_attention,
    parameters_of_attention,
)
from attnpanel.models.intercept.script_graphs import SCRIPTED, graph_has_attention
from attnpanel.models.intercept.tracked_scores import IN_PIECES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor, nn

    from attnpanel.models.intercept.module_names import ModelLayers
    from attnpanel.models.intercept.tracked_scores import ScoreUse

NO_CALL = "it looks like attention, and no product of weights with values was recognised in it"
THREE_PROJECTIONS = (
    "it projects one input three times, as attention does, and no product of weights with values "
    "was recognised in it"
)
WINDOW = "it weighs a window around each position by a softmax, as a dynamic convolution does"
# Uses that became a call are forgotten beyond this number.
MAX_USES = 4096


class LayerAudit:
    """What one capture or intervention has seen of a model's attention.

    Parameters
    ----------
    layers : ModelLayers
    """

    def __init__(self, layers: ModelLayers) -> None:
        self._layers = layers
        self._uses: list[ScoreUse] = []
        self._limit = MAX_USES
        # Modules that look like attention, by the ids of their parameters; those that ran, and how
        # often each of their parameters was used.
        self._like_attention = dict(parameters_of_attention(layers.walked))
        self._ran: dict[str, Counter[int]] = {}
        self._projections = _Projections(layers.walked)
        # Layers that run code out of sight, and why; those of a softmax and of a window.
        self._unseen: dict[str, str] = {}
        self._parts: dict[str, set[str]] = {"softmax": set(), "window": set()}
        # Layers whose calls have fewer queries than their sequence is long: T and that length.
        self._chunks: dict[str, list[tuple[int, int]]] = {}
        # Modules of other models that ran attention.
        self.foreign: dict[str, None] = {}

    def note_use(self, use: ScoreUse) -> None:
        """Note scores that were normalised, or met values."""
        if self._layers.layer_of(use.modules) is None:
            return
        if len(self._uses) >= self._limit:
            self._uses = [use for use in self._uses if not use.recorded]
            self._limit = max(MAX_USES, 2 * len(self._uses))  # so that many cost no more each
        self._uses.append(use)

    def note_call(self, layer: str, query_len: int, sequence_len: int | None) -> None:
        """Note a call of a layer: T, and the length of the sequence that its queries are of."""
        if sequence_len and query_len < sequence_len:
            self._chunks.setdefault(layer, []).append((query_len, sequence_len))

    def note_linear(self, arguments: Sequence[Any]) -> None:
        """Note the module whose parameters a linear layer has, after its input."""
        for argument in arguments[1:3]:
            module = self._like_attention.get(id(argument))
            if module is not None:
                layer = self._layers.names[id(module)]
                self._ran.setdefault(layer, Counter())[id(argument)] += 1
        if len(arguments) > 1:
            self._projections.note(arguments[0], arguments[1])

    def note_part(self, part: str, modules: tuple[nn.Module, ...]) -> None:
        """Note that a softmax, or the window of a convolution, was computed in these modules."""
        layer = self._layers.layer_of(modules)
        if layer is None:
            return
        self._parts[part].add(layer)
        if any(looks_like_attention(module) for module in modules[:1]):
            self._ran.setdefault(layer, Counter())

    def note_unseen(
        self, modules: tuple[nn.Module, ...], reason: str, *, only_attention: bool = False
    ) -> None:
        """Note that these modules run code that cannot be seen.

        Parameters
        ----------
        modules : tuple of torch.nn.Module
            Innermost first.
        reason : str
        only_attention : bool, optional
            Note it of a module that looks like attention only.
        """
        layer = self._layers.layer_of(modules)
        if layer is None or (only_attention and not looks_like_attention(modules[0])):
            return
        self._unseen.setdefault(layer, reason)

    def uses(self) -> Iterator[tuple[str, ScoreUse]]:
        """Yield the layer and the use of all scores that were normalised, or met values."""
        for use in self._uses:
            layer = self._layers.layer_of(use.modules)
            if layer is not None:
                yield layer, use

    def left_out(self, recorded: Iterable[str]) -> dict[str, str]:
        """Return the layers whose attention did not, or not all, become calls, and why.

        Parameters
        ----------
        recorded : iterable of str
            The layers that gave calls.
        """
        known = set(recorded)
        found = {}
        for layer, use in self.uses():
            if not use.recorded and (use.met_values or layer not in known):
                found[layer] = use.reason
        for layer, calls in self._chunks.items():
            if len(calls) > 1 and sum(length for length, _ in calls) >= calls[0][1]:
                found[layer] = IN_PIECES
        found |= self._unseen
        found |= dict.fromkeys(self._scripted_attention(), SCRIPTED)
        self._add(found, known, self._parts["softmax"] & self._parts["window"], WINDOW)
        self._add(found, known, self._ran, NO_CALL)
        self._add(found, known, self._projections.layers, THREE_PROJECTIONS)
        return found

    def _add(
        self, found: dict[str, str], known: set[str], layers: Iterable[str], reason: str
    ) -> None:
        """Add layers of which nothing is known, neither of what is in them nor around them."""
        root = self._layers.names[id(self._layers.model)]
        for layer in layers:
            others = {*known, *found}
            if root in self._unseen:  # whatever the model itself starts, its layers are named, too
                others.discard(root)
            if root not in others and not any(
                is_within(layer, other) or is_within(other, layer) for other in others
            ):
                found[layer] = reason

    def missing_runs(self, calls: Counter[str]) -> dict[str, str]:
        """Return the layers that ran more often than they gave calls, and how often.

        Parameters
        ----------
        calls : counter of str
            How many calls each layer gave.
        """
        return {
            layer: f"it ran {runs} times, and {calls[layer]} of its runs gave a call"
            for layer, counts in self._ran.items()
            if counts and layer in calls and (runs := min(counts.values())) > calls[layer]
        }

    def _scripted_attention(self) -> Iterator[str]:
        """Yield the innermost modules of the model that are scripts of an attention."""
        from torch.jit import ScriptModule

        scripts = [
            self._layers.names[id(module)]
            for _, module in self._layers.walked[1:]
            if isinstance(module, ScriptModule) and _is_scripted_attention(module)
        ]
        for layer in scripts:
            if not any(other != layer and is_within(other, layer) for other in scripts):
                yield layer


def _is_scripted_attention(module: Any) -> bool:
    if class_looks_like_attention(module.original_name):
        return True
    try:
        return graph_has_attention(module.inlined_graph)
    except RuntimeError:  # a script without a forward
        return False


class _Projections:
    """Modules with exactly three linear layers of one input, as of queries, keys and values."""

    def __init__(self, walked: Sequence[tuple[str, nn.Module]]) -> None:
        from torch import nn

        self._parents = {
            id(part.weight): name.rpartition(".")[0]
            for name, part in walked
            if isinstance(part, nn.Linear)
        }
        # Layers in a list are experts, heads of several tasks or layers of a stack.
        lists = {name for name, part in walked if isinstance(part, (nn.ModuleList, nn.Sequential))}
        self._parents = {i: name for i, name in self._parents.items() if name not in lists}
        self._latest: dict[str, tuple[weakref.ref[Tensor], dict[int, tuple[int, ...]]]] = {}
        self._shared: dict[str, dict[int, tuple[int, ...]]] = {}

    def note(self, projected: Any, weight: Any) -> None:
        """Note that a linear layer reads a tensor."""
        parent = self._parents.get(id(weight))
        if parent is None or getattr(projected, "ndim", 0) < 3:
            return
        latest = self._latest.get(parent)
        shapes = latest[1] if latest is not None and latest[0]() is projected else {}
        shapes[id(weight)] = tuple(weight.shape)
        self._latest[parent] = weakref.ref(projected), shapes
        if len(shapes) >= 3:
            self._shared[parent] = shapes

    @property
    def layers(self) -> list[str]:
        """The modules with three such layers; keys and values are as wide, or heads share them."""
        found = []
        for layer, shapes in self._shared.items():
            key, value, query = sorted(shape[0] for shape in shapes.values())[:3]
            if layer and len(shapes) == 3 and key == value and query % key == 0:
                found.append(layer)
        return found
