"""Names of the modules that compute attention, and which modules are a model's own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

# How model code names attention over another sequence: T5, BART and Whisper, BERT and GPT-2.
CROSS = re.compile(r"cross|encoder_attn|enc_?dec", re.IGNORECASE)


def walk_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield each module once, in the order of ``named_modules()``, which takes 5 times as long.

    Names are qualified and without torch.compile's wrappers; the root's is empty.
    """
    visited: set[int] = set()
    pending: list[tuple[str, nn.Module]] = [("", model)]
    while pending:
        name, module = pending.pop()
        if id(module) in visited:
            continue
        visited.add(id(module))
        yield name, module
        prefix = f"{name}." if name else ""
        pending += [
            (name if part == "_orig_mod" else prefix + part, child)
            for part, child in reversed(module._modules.items())  # noqa: SLF001 - as named_modules
            if child is not None
        ]


class ModelLayers:
    """The modules of a model by name, told apart from those of another model.

    A draft model in assisted generation or a teacher outside the module tree runs while a method of
    the model is on the stack, too. It has parameters, or buffers in their place (quantised
    weights), and not all of them are the model's, as where embeddings are tied.

    Parameters
    ----------
    model : torch.nn.Module
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model  # keeps the ids below valid
        self.names: dict[int, str] = {}
        # All modules with their names, each followed by those in it.
        self.walked: list[tuple[str, nn.Module]] = []
        self._walk()
        # Modules outside the tree, and whether they are another model's.
        self._outside: dict[int, tuple[nn.Module, bool]] = {}

    def _walk(self) -> None:
        self.walked = list(walk_modules(self.model))
        self.names.update((id(module), name) for name, module in self.walked)
        for module in (self.model, getattr(self.model, "_orig_mod", self.model)):
            self.names[id(module)] = type(module).__name__  # the root's qualified name is empty

    def module(self, layer: str) -> nn.Module:
        """Return the module of a layer's name."""
        return next((part for _, part in self.walked if self.names[id(part)] == layer), self.model)

    def layer_of(self, modules: tuple[nn.Module, ...]) -> str | None:
        """Return the name of the innermost module that is the model's; None for another model's.

        Parameters
        ----------
        modules : tuple of torch.nn.Module
            The running modules, innermost first.
        """
        for module in modules:
            name = self.names.get(id(module))
            if name is None and self._is_foreign(module):
                # Modules may have been added since; then it is one of the tree after all.
                name = self.names.get(id(module))
                if name is None:
                    return None
            if name is not None:
                return name
        return None

    def _is_foreign(self, module: nn.Module) -> bool:
        known = self._outside.get(id(module))
        if known is None:
            parts = {id(part) for part in module.modules()}
            around = id(self.model) in parts or id(getattr(self.model, "_orig_mod", None)) in parts
            own = {id(parameter) for parameter in module.parameters()}
            own = own or {id(buffer) for buffer in module.buffers()}
            ours = {id(x) for x in (*self.model.parameters(), *self.model.buffers())}
            holds_ours = not parts.isdisjoint(self.names)
            foreign = not around and (
                not own <= ours if not holds_ours else bool(own) and ours.isdisjoint(own)
            )
            if foreign:
                self._walk()
                foreign = id(module) not in self.names
            known = self._outside[id(module)] = (module, foreign)
        return known[1]
