"""Account for the attention of a model: what ran, and what of it became a call."""

from __future__ import annotations

import re
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import nn

    from attnpanel.models.intercept.module_names import ModelLayers
    from attnpanel.models.intercept.tracked_scores import ScoreUse

# How model code names the classes of its attention.
ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)
NO_CALL = "it looks like attention, and no product of weights with values was recognised in it"
SCRIPTED = "it is a torch.jit script, whose functions cannot be seen"
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
        # Modules that look like attention, by the ids of their parameters; those that ran.
        self._like_attention = dict(_parameters_of_attention(layers.walked))
        self._ran: dict[str, None] = {}
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

    def note_parameters(self, arguments: Sequence[Any]) -> None:
        """Note the module whose parameter is among a linear layer's arguments."""
        for argument in arguments:
            module = self._like_attention.get(id(argument))
            if module is not None:
                self._ran[self._layers.names[id(module)]] = None

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
        found |= dict.fromkeys(self._scripted_attention(), SCRIPTED)
        root = self._layers.names[id(self._layers.model)]
        for layer in self._ran:
            if root not in known | set(found) and not any(
                _is_within(layer, other) or _is_within(other, layer) for other in (*known, *found)
            ):
                found[layer] = NO_CALL
        return found

    def _scripted_attention(self) -> Iterator[str]:
        """Yield the modules of the model that are scripts and look like attention."""
        from torch.jit import ScriptModule

        for _, module in self._layers.walked[1:]:
            if isinstance(module, ScriptModule) and _looks_like_attention(module.original_name):
                yield self._layers.names[id(module)]


def _is_within(layer: str, other: str) -> bool:
    return layer == other or layer.startswith(f"{other}.")


def _parameters_of_attention(
    walked: Sequence[tuple[str, nn.Module]],
) -> Iterator[tuple[int, nn.Module]]:
    """Yield the id of each parameter of the innermost modules that look like attention."""
    like = [at for at, (_, m) in enumerate(walked) if _looks_like_attention(type(m).__name__)]
    for at, following in zip_longest(like, like[1:], fillvalue=len(walked)):
        name, module = walked[at]
        # A module is followed by those in it.
        inside = range(at + 1, len(walked))
        stop = next((i for i in inside if name and not _is_within(walked[i][0], name)), len(walked))
        if following >= stop:
            for _, part in walked[at:stop]:
                for parameter in part._parameters.values():  # noqa: SLF001 - 10 times as fast
                    if parameter is not None:
                        yield id(parameter), module


@cache
def _looks_like_attention(name: str) -> bool:
    return ATTENTION.search(name) is not None
