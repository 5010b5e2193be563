"""Tell modules that look like attention from others, by their class or by what they hold."""

from __future__ import annotations

import re
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

# How model code names the classes of its attention, and of convolutions by a softmax.
CLASSES = re.compile(r"attention|attn|(?:dynamic|light(?:weight)?)_?conv", re.IGNORECASE)
# How it names projections to queries, keys and values, in one layer each or in one for all.
_BEFORE, _AFTER = (
    r"(?:to|w|lin(?:ear)?|proj|fc)?_?",
    r"_?(?:proj(?:ection)?|lin(?:ear)?|layer|w|fc)?",
)
ROLES = {
    "query": re.compile(f"{_BEFORE}q(?:uery|ueries)?s?{_AFTER}", re.IGNORECASE),
    "key": re.compile(f"{_BEFORE}k(?:eys?)?s?{_AFTER}", re.IGNORECASE),
    "value": re.compile(f"{_BEFORE}v(?:al(?:ues?)?)?s?{_AFTER}", re.IGNORECASE),
}
JOINT = re.compile(
    rf"{_BEFORE}(?:qkv|kqv|query_key_value|in_proj_weight|c_attn){_AFTER}", re.IGNORECASE
)
JOINT_KEYS = re.compile(rf"{_BEFORE}(?:kv|vk|key_value){_AFTER}", re.IGNORECASE)


def looks_like_attention(module: nn.Module) -> bool:
    """Whether a module's class is named so, or it holds projections to query, key and value."""
    # A script's dictionaries have keys(), and cannot be iterated.
    names = (*module._modules.keys(), *module._parameters.keys())  # noqa: SLF001 - 10 times as fast
    return class_looks_like_attention(type(module).__name__) or _project(names)


@cache
def class_looks_like_attention(name: str) -> bool:
    """Whether a class's name is one that model code gives to attention."""
    return CLASSES.search(name) is not None


@cache
def _project(names: tuple[str, ...]) -> bool:
    roles = {role for role, named in ROLES.items() if any(map(named.fullmatch, names))}
    joint = any(map(JOINT_KEYS.fullmatch, names))
    return (
        len(roles) == len(ROLES) or ("query" in roles and joint) or any(map(JOINT.fullmatch, names))
    )


def parameters_of_attention(
    walked: Sequence[tuple[str, nn.Module]],
) -> Iterator[tuple[int, nn.Module]]:
    """Yield the id of each parameter of the innermost modules that look like attention.

    Parameters
    ----------
    walked : sequence of (qualified name, module)
        Each module is followed by those in it.
    """
    like = [at for at, (_, module) in enumerate(walked) if looks_like_attention(module)]
    for at, following in zip_longest(like, like[1:], fillvalue=len(walked)):
        name, module = walked[at]
        inside = range(at + 1, len(walked))
        stop = next((i for i in inside if name and not is_within(walked[i][0], name)), len(walked))
        if following >= stop:
            for _, part in walked[at:stop]:
                for parameter in part._parameters.values():  # noqa: SLF001 - 10 times as fast
                    if parameter is not None:
                        yield id(parameter), module


def is_within(layer: str, other: str) -> bool:
    """Whether a module is another one, or inside it, by their qualified names."""
    return layer == other or layer.startswith(f"{other}.")
