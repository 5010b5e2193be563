"""The table of mask kinds: one row a kind, with its rule and what it needs.

A row here is all that a kind takes: :func:`attnpanel.make_mask`, the explorer's controls, links and
reasons, the page's masks, every implementation of attention and the bench follow from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.mask_rules import evaluate, names_in, parse

if TYPE_CHECKING:
    from attnpanel.attention.mask_rules import Tree

# The `kind` of a row of MASKS.
MaskName = str
# A number of tokens, or increasing positions of tokens.
MaskValue = int | tuple[int, ...]


@dataclass(frozen=True)
class MaskParameter:
    """A number that a mask kind needs. Ranges and values are expressions of T and S.

    Attributes
    ----------
    name : str
        A keyword of :func:`make_mask`, and the explorer's choice.
    label : str
        What its control shows.
    description : str
        One sentence for a tooltip.
    address : str
        Its name in a link.
    low, high : str
        The range of its control, in tokens.
    start : str
        What an explorer opens with: set anew with each trace if it depends on S.
    example : str
        A value that shows the kind at work at any length: where a comparison and the bench start.
    limit : str or None
        The most that :func:`make_mask` takes; None takes any number.
    positions : bool
        Whether it is a list of increasing positions of tokens, not one number.
    always_shown : bool
        Whether its control is dimmed, not left out, while the chosen kind doesn't need it.
    """

    name: str
    label: str
    description: str
    address: str
    low: str = "0"
    high: str = "S"
    start: str = "S"
    example: str = "max(1, S * 3 // 4)"
    limit: str | None = "S"
    positions: bool = False
    always_shown: bool = False

    @property
    def follows_lengths(self) -> bool:
        """Whether another trace sets it anew."""
        return bool({"T", "S"} & set(names_in(parse(self.start))))

    def bounds(self, query_len: int, key_len: int) -> tuple[int, int]:
        """Return the least and the largest value that a control offers."""
        return self._at(self.low, query_len, key_len), self._at(self.high, query_len, key_len)

    def start_at(self, query_len: int, key_len: int) -> MaskValue:
        """Return what an explorer opens with."""
        return self.fit(self._at(self.start, query_len, key_len), query_len, key_len)

    def example_at(self, query_len: int, key_len: int) -> MaskValue:
        """Return a value that shows the kind at work."""
        return self.fit(self._at(self.example, query_len, key_len), query_len, key_len)

    def fit(self, value: MaskValue, query_len: int, key_len: int) -> MaskValue:
        """Return a value inside :meth:`bounds`; positions outside are left out."""
        low, high = self.bounds(query_len, key_len)
        if isinstance(value, tuple):
            return tuple(position for position in value if low <= position <= high)
        return min(max(value, low), high)

    def check(self, value: object, query_len: int, key_len: int) -> MaskValue:
        """Return a value that :func:`make_mask` was given, if it keeps the rule."""
        low = self._at(self.low, query_len, key_len)
        high = None if self.limit is None else self._at(self.limit, query_len, key_len)
        if not self.positions:
            return check_int(self.name, value, low, high)
        if not isinstance(value, tuple | list):
            raise ValueError(f"{self.name} must be a list of positions; got {value!r}")  # noqa: TRY004 - one error type for wrong input
        taken = tuple(check_int(self.name, position, low, high) for position in value)
        if any(one >= next_one for one, next_one in pairwise(taken)):
            raise ValueError(f"{self.name} must increase; got {value!r}")
        return taken

    def cut(self, value: MaskValue, query_len: int, key_len: int) -> MaskValue:
        """Return a value that :func:`make_mask` takes at shorter lengths than it was meant for."""
        if self.limit is None:
            return value
        limit: int = self._at(self.limit, query_len, key_len)
        if isinstance(value, tuple):
            return tuple(position for position in value if position <= limit)
        return min(value, limit)

    def read(self, text: str) -> MaskValue:
        """Return the value that a text stands for: ``"5"``, or ``"4, 9"`` where positions."""
        if not self.positions:
            return int(text)
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()

    @staticmethod
    def _at(text: str, query_len: int, key_len: int) -> Any:
        return evaluate(parse(text), {"T": query_len, "S": key_len})


@dataclass(frozen=True)
class MaskKind:
    """One row of the table of masks: query i sees the keys j with ``first <= j < stop``.

    Both ends are expressions (:func:`attnpanel.attention.mask_rules.parse`) of ``i``; ``p``, the
    key position that query i stands at; ``T`` and ``S``, the lengths; and the kind's parameters.
    They may lie outside 0..S; a query whose `stop` is not beyond its `first` sees no key.

    Attributes
    ----------
    kind : str
        What :func:`make_mask` takes.
    label : str
        What a menu shows.
    description : str
        One sentence for a tooltip.
    parameters : tuple of MaskParameter
        Without which this kind has no meaning.
    first, stop : str
        The interval of keys that query i sees.
    only : str or None
        For a kind whose queries see more than one interval: a condition of ``j``, too, that a key
        of the interval must meet, such as ``"(p - j) % stride == 0"``. Costs a step a cell, where
        an interval costs one a row.
    """

    kind: MaskName
    label: str
    description: str
    parameters: tuple[MaskParameter, ...] = ()
    first: str = "0"
    stop: str = "S"
    only: str | None = None

    def __post_init__(self) -> None:
        known = {"i", "p", "T", "S", *self.needs}
        condition = set() if self.only_tree is None else set(names_in(self.only_tree)) - {"j"}
        unknown = {*names_in(self.first_tree), *names_in(self.stop_tree), *condition} - known
        if unknown:
            raise ValueError(f"the rule of mask {self.kind!r} reads unknown names {unknown}")

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of its parameters."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def aligned(self) -> bool:
        """Whether it matters where the diagonal starts, when T and S differ."""
        return "p" in self._read

    @property
    def same_for_all(self) -> bool:
        """Whether every query sees the same keys."""
        return not self._read & {"i", "p"}

    @cached_property
    def first_tree(self) -> Tree:
        """`first` as nested lists."""
        return parse(self.first)

    @cached_property
    def stop_tree(self) -> Tree:
        """`stop` as nested lists."""
        return parse(self.stop)

    @cached_property
    def only_tree(self) -> Tree | None:
        """`only` as nested lists."""
        return None if self.only is None else parse(self.only)

    def for_page(self) -> dict[str, Any]:
        """Return the row as plain data, for a page that makes masks itself."""
        return {
            "kind": self.kind,
            "label": self.label,
            "needs": list(self.needs),
            "aligned": self.aligned,
            "first": self.first_tree,
            "stop": self.stop_tree,
            "only": self.only_tree,
        }

    @cached_property
    def _read(self) -> frozenset[str]:
        only = () if self.only_tree is None else names_in(self.only_tree)
        return frozenset((*names_in(self.first_tree), *names_in(self.stop_tree), *only))


PAD_LEN = MaskParameter(
    "pad_len",
    "Pad length",
    "How many leading tokens are real; the rest is padding. In tokens.",
    address="pad",
    always_shown=True,
)
WINDOW = MaskParameter(
    "window",
    "Window",
    "A query sees the keys fewer than this many tokens away.",
    address="window",
    low="1",
    high="max(T, S)",
    start="3",
    example="max(1, S // 4)",
    limit=None,
)
PREFIX_LEN = MaskParameter(
    "prefix_len",
    "Prefix length",
    "How many leading tokens every query sees, in tokens.",
    address="prefix",
    start="S // 2",
    example="max(1, S // 4)",
)
STARTS = MaskParameter(
    "starts",
    "Document starts",
    "At which token each further document begins, from 0: “4, 9” makes three documents.",
    address="starts",
    start="[S // 2]",
    example="[S // 4, S // 2]",
    positions=True,
)

MASKS: tuple[MaskKind, ...] = (
    MaskKind("none", "none", "Every query sees every key."),
    MaskKind(
        "padding",
        "padding",
        "Padded positions neither attend nor are attended to, so their rows are empty.",
        (replace(PAD_LEN, limit="max(T, S)"),),
        stop="pad_len if i < pad_len else 0",
    ),
    MaskKind(
        "causal",
        "causal",
        "A query sees its own position and the ones before it.",
        stop="p + 1",
    ),
    MaskKind(
        "key_padding",
        "key padding",
        "No query sees a padded key; padded queries still attend, as in most models.",
        (PAD_LEN,),
        stop="pad_len",
    ),
    MaskKind(
        "window",
        "window",
        "A query sees the keys fewer than `window` positions away, on both sides.",
        (WINDOW,),
        first="p - window + 1",
        stop="p + window",
    ),
    MaskKind(
        "prefix",
        "prefix LM",
        "A query sees the prefix, its own position and the ones before it.",
        (PREFIX_LEN,),
        stop="max(prefix_len, p + 1)",
    ),
    MaskKind(
        "documents",
        "documents",
        "Several documents in one sequence: a query sees its own, as in packed batches.",
        (STARTS,),
        first="last_up_to(starts, p, 0)",
        stop="first_after(starts, p, S)",
    ),
    MaskKind(
        "causal_documents",
        "causal documents",
        "Several documents in one sequence: a query sees what came before in its own.",
        (STARTS,),
        first="last_up_to(starts, p, 0)",
        stop="p + 1",
    ),
)


def mask_kinds() -> tuple[MaskName, ...]:
    """Return the kinds that :func:`make_mask` takes, in the order of the table."""
    return tuple(row.kind for row in MASKS)


def find_mask(kind: MaskName) -> MaskKind:
    """Return the row of a kind.

    Raises
    ------
    ValueError
        If there is none.
    """
    for row in MASKS:
        if row.kind == kind:
            return row
    raise ValueError(f"kind must be one of {', '.join(mask_kinds())}; got {kind!r}")


def mask_parameters() -> dict[str, MaskParameter]:
    """Return the parameters of all kinds by name, each once, in the order of the table."""
    found: dict[str, MaskParameter] = {}
    for row in MASKS:
        for parameter in row.parameters:
            found.setdefault(parameter.name, parameter)
    return found


def masks_for_page() -> dict[str, Any]:
    """Return the kinds and their parameters as plain data, for a page that makes masks itself."""
    return {
        "kinds": [row.for_page() for row in MASKS],
        "parameters": [
            {
                "name": one.name,
                "label": one.label,
                "address": one.address,
                "positions": one.positions,
                "followsLengths": one.follows_lengths,
                "low": parse(one.low),
                "high": parse(one.high),
                "start": parse(one.start),
            }
            for one in mask_parameters().values()
        ],
    }


def check_int(name: str, value: object, low: int, high: int | None = None) -> int:
    """Return an integer inside a range, or raise a ValueError that names the rule."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, np.integer))
        or value < low
        or (high is not None and value > high)
    ):
        rule = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be an integer {rule}; got {value!r}")
    return int(value)
