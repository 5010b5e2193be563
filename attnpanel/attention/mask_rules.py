"""Mask rules as small expressions: written once, evaluated by NumPy, torch and the page alike.

A rule is text such as ``"max(prefix_len, p + 1)"``. :func:`parse` turns it into nested lists, plain
data that a page can be handed and evaluates without `eval` (``js`` twin: ``compileRule`` in
attention.js). Only what stands in `OPERATIONS` can be written.
"""

from __future__ import annotations

import ast
import functools
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

# A number, a name, or an operation and its operands: JSON as it is.
Tree = int | str | list[Any]
# np.where or torch.where.
Where = Callable[[Any, Any, Any], Any]


def _choose(where: Where, condition: Any, one: Any, other: Any) -> Any:
    if isinstance(condition, bool | np.bool_):
        return one if condition else other
    return where(condition, one, other)


def _last_up_to(where: Where, positions: tuple[int, ...], at: Any, default: Any) -> Any:
    """The last of increasing positions that is at most `at`; `default` before the first."""
    found = default
    for position in positions:
        found = _choose(where, at >= position, position, found)
    return found


def _first_after(where: Where, positions: tuple[int, ...], at: Any, default: Any) -> Any:
    """The first of increasing positions that is greater than `at`; `default` behind the last."""
    found = default
    for position in reversed(positions):
        found = _choose(where, at < position, position, found)
    return found


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _where, *values: function(*values)


# By the name in a tree. Booleans combine by & and |, which arrays and tensors have, too.
OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": _plain(operator.add),
    "-": _plain(operator.sub),
    "*": _plain(operator.mul),
    "//": _plain(operator.floordiv),
    "%": _plain(operator.mod),
    "<": _plain(operator.lt),
    "<=": _plain(operator.le),
    ">": _plain(operator.gt),
    ">=": _plain(operator.ge),
    "==": _plain(operator.eq),
    "!=": _plain(operator.ne),
    "and": _plain(operator.and_),
    "or": _plain(operator.or_),
    "not": _plain(lambda value: value ^ True),
    "if": _choose,
    "min": lambda where, one, other: _choose(where, one < other, one, other),
    "max": lambda where, one, other: _choose(where, one > other, one, other),
    "abs": _plain(abs),
    "list": _plain(lambda *values: tuple(sorted({int(value) for value in values}))),
    "last_up_to": _last_up_to,
    "first_after": _first_after,
}
_CALLS = {"min": 2, "max": 2, "abs": 1, "last_up_to": 3, "first_after": 3}
_SIGNS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.And: "and", ast.Or: "or",
}  # fmt: skip


@functools.cache
def parse(text: str) -> Tree:
    """Return an expression as nested lists.

    Parameters
    ----------
    text : str
        Python's syntax for integers, names, ``+ - * // %``, comparisons, ``and or not``,
        ``a if b else c``, ``[a, b]``, and calls of ``min``, ``max`` (of two), ``abs``,
        ``last_up_to(positions, at, default)`` and ``first_after(positions, at, default)``.

    Raises
    ------
    ValueError
        If it holds anything else.

    Examples
    --------
    >>> parse("max(prefix_len, p + 1)")
    ['max', 'prefix_len', ['+', 'p', 1]]
    """
    try:
        return _tree(ast.parse(text, mode="eval").body)
    except (SyntaxError, KeyError, TypeError) as error:
        raise ValueError(f"a mask rule can't hold this: {text!r}") from error


def _tree(node: ast.expr) -> Tree:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            return name
    operation, operands = _operation(node)
    return [operation, *map(_tree, operands)]


def _operation(node: ast.expr) -> tuple[str, list[ast.expr]]:
    match node:
        case (
            ast.BinOp(op=sign, left=left, right=right)
            | ast.Compare(ops=[sign], left=left, comparators=[right])
        ):
            return _SIGNS[type(sign)], [left, right]
        case ast.BoolOp(op=sign, values=[_, _] as operands):
            return _SIGNS[type(sign)], operands
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return "not", [operand]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return "-", [ast.Constant(0), operand]
        case ast.IfExp(test=test, body=body, orelse=other):
            return "if", [test, body, other]
        case ast.List(elts=items):
            return "list", items
        case ast.Call(func=ast.Name(id=name), args=operands, keywords=[]) if _CALLS[name] == len(
            operands
        ):
            return name, operands
    raise TypeError(ast.dump(node))


def names_in(tree: Tree) -> Iterator[str]:
    """Yield the names that an expression reads."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, list):
        for part in tree[1:]:
            yield from names_in(part)


def evaluate(tree: Tree, names: Mapping[str, Any], where: Where = np.where) -> Any:
    """Return an expression's value.

    Parameters
    ----------
    tree : nested lists
        As :func:`parse` gives it.
    names : mapping
        Integers, tuples of positions, arrays or tensors by name.
    where : callable, optional
        ``torch.where`` where a name stands for a tensor.

    Examples
    --------
    >>> evaluate(parse("max(prefix_len, p + 1)"), {"prefix_len": 2, "p": np.arange(4)})
    array([2, 2, 3, 4])
    """
    if isinstance(tree, str):
        return names[tree]
    if isinstance(tree, int):
        return tree
    operation, *parts = tree
    return OPERATIONS[operation](where, *(evaluate(part, names, where) for part in parts))
