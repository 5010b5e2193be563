"""Detect that an implementation replaced functions that time or judge it."""

from __future__ import annotations

import copyreg
import gc
import signal
import sys
import types
import weakref
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Modules, by name or by package, whose functions and classes must stay as they were.
MODULES: Final = frozenset(
    {
        *("time", "random", "secrets", "math", "statistics", "gc", "os", "io", "pathlib", "psutil"),
        *("builtins", "numpy", "resource", "signal", "contextlib", "dataclasses", "functools"),
        *("copyreg", "pickle", "multiprocessing.connection", "multiprocessing.reduction"),
    }
)
NUMPY: Final = ("numpy._core.", "numpy.lib.", "numpy.linalg", "numpy.random")
PACKAGES: Final = (
    "attnpanel.bench.",
    "attnpanel.attention.",  # of the reference and of masks
    "attnpanel.kernels.request",
    "attnpanel.kernels.arrays",
    "attnpanel.kernels.implementation",
)
# Of the module sys, which holds much else.
OF_SYS: Final = ("gettrace", "getprofile", "_getframe")
# What Python itself adds to a class.
ADDED_BY_PYTHON: Final = frozenset(
    {"__annotations__", "__doc__", "__abstractmethods__", "__slotnames__"}
)
# What reads a tensor, and the attention that rows outside of a sample are compared with. The rest
# of torch is large, and changes as it is used.
OF_TENSORS: Final = ("detach", "cpu", "double", "float", "numpy", "to", "__getitem__", "data_ptr")
OF_TORCH: Final = ("from_numpy", "tensor", "Tensor", "get_num_threads", "set_num_threads")
# JAX collects its own garbage.
COLLECTORS: Final = ("jax", "torch")
# Values of a module or a class that are not compared by identity, but by what they contain.
CONTAINERS: Final = (dict, list, set)
CONSTANTS: Final = (int, float, str, bytes, tuple, frozenset, types.NoneType, *CONTAINERS)
# The flag of a class whose attributes can't be assigned (CPython's Include/object.h).
IMMUTABLE: Final = 1 << 8


class Integrity:
    """What times and judges in this process, as it is now: functions, classes and constants.

    A function is compared by identity, code and defaults; a class by its methods; a dictionary or a
    list by its members. Nothing may be added, either: a name in a module hides a builtin function,
    a method of a class changes how its objects are pickled, one of an object hides that of its
    class. So are the hooks by which code runs between two lines of other code: handlers of signals,
    functions that trace, and those that watch the garbage collector.

    What is replaced and put back between two looks is not seen: the clock of the parent process,
    results judged after the clock and the machine's limit are for that.
    """

    def __init__(self) -> None:
        self._members = list(_members())
        self._names = [(name, names, frozenset(names)) for name, names in _namespaces()]
        self._modules = {name: sys.modules[name] for name in _watched()}
        self._hooks = _hooks()
        self._objects: weakref.WeakSet[Any] = weakref.WeakSet()

    def watch(self, *objects: Any) -> None:
        """Watch objects, too: no attribute of theirs may hide a method of their class."""
        self._objects.update(objects)

    def violation(self) -> str:
        """Return in a sentence what was replaced since; empty if nothing was."""
        changed = self.changed()
        return changed and (
            f"an implementation must leave what times and judges it as it is; {changed} was "
            "replaced"
        )

    def changed(self) -> str:
        """Return the first name that was replaced since, or an empty string."""
        for name, namespace, key, member, facts in self._members:
            if namespace.get(key) is not member or (
                facts is not None and not _same(_facts(member), facts)
            ):
                return name
        if added := self._added():
            return added
        before = self._hooks
        return next((name for name, hook in _hooks().items() if before.get(name) != hook), "")

    def _added(self) -> str:
        """Return the first name that was added, or hides another, or an empty string."""
        for name, names, known in self._names:
            for key in names.keys() - known - ADDED_BY_PYTHON:
                if not isinstance(names[key], types.ModuleType):
                    return f"{name}.{key}"
        for name, module in self._modules.items():
            if sys.modules.get(name) is not module:
                return name
        for watched in self._objects:
            for key in vars(watched):
                if isinstance(getattr(type(watched), key, None), types.FunctionType):
                    return f"{type(watched).__name__}.{key}"
        return ""


# Name, namespace, key in it, member, and what of a function could be replaced within it.
Member: TypeAlias = "tuple[str, Mapping[str, Any], str, Any, tuple[Any, ...] | None]"


def _watched() -> list[str]:
    """Return the names of the modules that are compared."""
    return [
        name
        for name in list(sys.modules)
        if name in MODULES or name.startswith((*PACKAGES, *NUMPY))
    ]


def _namespaces() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield those to which nothing may be added: our modules, and classes written in Python."""
    for module_name in _watched():
        if module_name.startswith(PACKAGES) or module_name == "builtins":
            yield module_name, vars(sys.modules[module_name])
        for key, member in list(vars(sys.modules[module_name]).items()):
            written = isinstance(member, type) and not member.__flags__ & IMMUTABLE
            if written and member.__module__ == module_name:
                yield f"{module_name}.{key}", vars(member)


def _members() -> Iterator[Member]:
    for key in OF_SYS:
        yield f"sys.{key}", vars(sys), key, vars(sys)[key], None
    for module_name in _watched():
        module, ours = sys.modules[module_name], module_name.startswith(PACKAGES)
        for key, member in list(vars(module).items()):
            if not callable(member) and not (ours and _is_constant(key, member)):
                continue
            name = f"{module_name}.{key}"
            yield name, vars(module), key, member, _facts(member)
            if isinstance(member, type) and member.__module__ == module_name:
                yield from _attributes(name, member, ours=ours)
    torch = sys.modules.get("torch")
    if torch is not None:
        for key in OF_TORCH:
            yield f"torch.{key}", vars(torch), key, vars(torch)[key], _facts(vars(torch)[key])
        functional = torch.nn.functional
        attention = functional.scaled_dot_product_attention
        yield (
            "torch.nn.functional.scaled_dot_product_attention",
            vars(functional),
            "scaled_dot_product_attention",
            attention,
            None,
        )
        # Inherited from a class of C: what is put before it is an attribute that was not there.
        for key in OF_TENSORS:
            method = vars(torch.Tensor).get(key)
            yield f"torch.Tensor.{key}", vars(torch.Tensor), key, method, _facts(method)


def _attributes(name: str, kind: type, *, ours: bool) -> Iterator[Member]:
    if kind.__flags__ & IMMUTABLE:
        return
    for key, member in list(vars(kind).items()):
        # What has __get__ is a method or a property, cached or not.
        if hasattr(member, "__get__") or (ours and _is_constant(key, member)):
            yield f"{name}.{key}", vars(kind), key, member, _facts(member)


def _hooks() -> dict[str, Any]:
    """Return by name what Python calls between two lines of other code."""
    handlers = {
        f"the handler of signal {int(number)}": signal.getsignal(number)
        for number in signal.valid_signals()
    }
    watching = [
        call
        for call in gc.callbacks
        if not str(getattr(call, "__module__", "")).startswith(COLLECTORS)
    ]
    pickled = [
        kind
        for table in (copyreg.dispatch_table, ForkingPickler._extra_reducers)  # type: ignore[attr-defined] # noqa: SLF001
        for kind in table
        if kind.__module__.startswith(PACKAGES)
    ]
    return {
        **handlers,
        "how results are pickled": pickled,
        "the trace function": sys.gettrace(),
        "the profile function": sys.getprofile(),
        "the garbage collector's callbacks": watching,
    }


def _is_constant(key: str, member: object) -> bool:
    return not key.startswith("__") and isinstance(member, CONSTANTS)


def _facts(member: object) -> tuple[Any, ...] | None:
    """Return what of a function or a container could be replaced within it; None of others."""
    if isinstance(member, types.FunctionType):
        return member.__code__, member.__defaults__, member.__kwdefaults__
    if isinstance(member, dict):
        return tuple(part for pair in member.items() for part in pair)
    if isinstance(member, CONTAINERS):
        return tuple(member)
    return None


def _same(first: tuple[Any, ...] | None, second: tuple[Any, ...]) -> bool:
    return (
        first is not None
        and len(first) == len(second)
        and all(one is other for one, other in zip(first, second, strict=True))
    )
