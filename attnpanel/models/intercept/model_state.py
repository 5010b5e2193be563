"""Save a model's mutable state before a dry run and restore it afterwards."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

# Module of transformers' key/value caches.
CACHE_MODULE = "transformers.cache_utils"


@contextmanager
def preserved_state(models: Sequence[nn.Module]) -> Iterator[None]:
    """Restore on exit what the block changes in models: buffers, attributes, key/value caches."""
    state = ModelState(models)
    try:
        yield
    finally:
        state.restore()


class ModelState:
    """A copy of models' non-parameter tensors, lists, dicts, sets and attributes.

    Parameters
    ----------
    models : sequence of torch.nn.Module
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        modules = [type(part).__module__ for model in models for part in model.modules()]
        # Only objects of the model's own code and its caches are followed into their attributes.
        self._followed = {name for name in modules if not name.startswith("torch.")} | {
            CACHE_MODULE
        }
        self._tensors: list[tuple[Tensor, Tensor]] = []
        self._containers: list[tuple[Any, Any]] = []
        self._visited: set[int] = set()
        for model in models:
            self._save(model)

    def _save(self, value: Any) -> None:
        import torch
        from torch import nn

        if id(value) in self._visited or isinstance(value, nn.Parameter):
            return
        self._visited.add(id(value))
        if isinstance(value, torch.Tensor):
            if not value.is_meta:
                self._tensors.append((value, value.detach().clone()))
        elif type(value) in (list, dict, set):
            self._containers.append((value, value.copy()))
            for item in value.values() if type(value) is dict else value:
                self._save(item)
        elif type(value) is tuple:
            for item in value:
                self._save(item)
        elif isinstance(value, nn.Module) or type(value).__module__ in self._followed:
            self._save(getattr(value, "__dict__", None))

    def restore(self) -> None:
        """Write back only what has changed: the guards of compiled code compare identities."""
        import torch

        for container, saved in self._containers:
            if not _same_items(container, saved):
                container.clear()
                (container.extend if type(container) is list else container.update)(saved)
        with torch.no_grad():
            for tensor, saved in self._tensors:
                if not torch.equal(tensor, saved):
                    tensor.copy_(saved)


def _same_items(left: Any, right: Any) -> bool:
    """Whether two lists, dicts or sets hold the same objects."""
    if len(left) != len(right):
        return False
    if type(left) is dict:
        return list(left) == list(right) and _same_items(list(left.values()), list(right.values()))
    if type(left) is set:
        return bool(left == right)
    return all(ours is theirs for ours, theirs in zip(left, right, strict=True))
