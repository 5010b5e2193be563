"""Detect that an implementation replaced functions that time or judge it."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Modules, by name or by package, whose functions and classes must stay as they were.
MODULES: Final = ("time", "random", "numpy", "numpy.linalg")
PACKAGES: Final = (
    "attnpanel.bench.",
    "attnpanel.kernels.arrays",
    "attnpanel.kernels.implementation",
)


class Integrity:
    """The functions and classes of this process that time and judge, as they are now.

    A function is compared by identity, code and defaults; a class by its methods. What is replaced
    and put back between two looks is not seen: the clock of the parent process, results judged
    after the clock and the machine's limit are for that.
    """

    def __init__(self) -> None:
        self._members = list(_members())

    def changed(self) -> str:
        """Return the first name that was replaced since, or an empty string."""
        for name, namespace, key, member, facts in self._members:
            if namespace.get(key) is not member or not _same(_facts(member), facts):
                return name
        return ""


# Name, namespace, key in it, member, and what of a function could be replaced within it.
Member: TypeAlias = "tuple[str, Mapping[str, Any], str, Any, tuple[Any, ...]]"


def _members() -> Iterator[Member]:
    for module_name, module in list(sys.modules.items()):
        if module_name not in MODULES and not module_name.startswith(PACKAGES):
            continue
        for key, member in list(vars(module).items()):
            if not callable(member):
                continue
            name = f"{module_name}.{key}"
            yield name, vars(module), key, member, _facts(member)
            if isinstance(member, type) and member.__module__.startswith(PACKAGES):
                for attribute, method in list(vars(member).items()):
                    if isinstance(method, (types.FunctionType, property, staticmethod)):
                        place = f"{name}.{attribute}"
                        yield place, vars(member), attribute, method, _facts(method)


def _facts(member: object) -> tuple[Any, ...]:
    if isinstance(member, types.FunctionType):
        return member.__code__, member.__defaults__, member.__kwdefaults__
    return ()


def _same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    return all(one is other for one, other in zip(first, second, strict=True))
