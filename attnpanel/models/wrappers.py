"""The module inside what people call a model: pipelines, NNsight, trainers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

# Where wrappers keep their one model: transformers' pipelines and trainers, NNsight, Lightning's
# and Accelerate's helpers.
ATTRIBUTES = ("model", "_model", "module", "_module")


def module_of(model: Any) -> nn.Module:
    """Return a module, or the one inside a wrapper of it.

    Raises
    ------
    ValueError
        If it is no module and holds none, or several; the message names them.
    """
    from torch import nn

    if isinstance(model, nn.Module):
        return model
    known = {name: getattr(model, name, None) for name in ATTRIBUTES}
    inside = {name: part for name, part in known.items() if isinstance(part, nn.Module)}
    if not inside:
        own = vars(model) if hasattr(model, "__dict__") else {}
        inside = {name: part for name, part in own.items() if isinstance(part, nn.Module)}
    distinct = {id(part): part for part in inside.values()}
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    rule = f"model must be a torch.nn.Module; got {type(model).__name__}"
    if not inside:
        raise ValueError(rule)
    names = ", ".join(f".{name} ({type(part).__name__})" for name, part in inside.items())
    raise ValueError(f"{rule}, which holds several: pass one of {names}")
