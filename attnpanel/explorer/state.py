"""ExplorerState: every choice a reader can make, and what is computed from it.

Depends on Param only, not on Panel or HoloViews: a page, a report and a notebook cell use the same
class, and tests need no page.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import param

from attnpanel.attention.mask_table import find_mask, mask_kinds, mask_parameters
from attnpanel.attention.masks import visible_keys
from attnpanel.explorer.selection import Selection, overview_tile, select, value_colours
from attnpanel.explorer.selection_blocks import BlockwiseSelection
from attnpanel.explorer.weight_scales import WEIGHT_SCALES
from attnpanel.trace import AttentionCall, Trace
from attnpanel.trace.computable import check_computable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from attnpanel.attention.mask_table import MaskKind, MaskParameter
    from attnpanel.attention.masks import Align, VisibleKeys
    from attnpanel.attention.validation import EmptyRows

# Sequence length assumed for mask parameters until a trace is set; exceeds every default.
UNFITTED_LEN = 1024
# Larger matrices are never held: their rows are computed where they are read.
HELD_CELLS = 2**24
MASK_RULE = ("mask", *mask_parameters(), "align")
SELECTION = (
    "trace", "layer", "head", "aggregate", "batch", "temperature", *MASK_RULE, "empty_rows",
)  # fmt: skip


class Positions(param.Parameter):  # type: ignore[type-arg]  # Param 2.2 cannot be subscripted
    """Increasing positions of tokens, as a tuple of int; `bounds` holds for each of them."""

    __slots__ = ("bounds",)

    def __init__(self, default: tuple[int, ...] = (), **options: Any) -> None:
        self.bounds = options.pop("bounds", (0, 0))
        super().__init__(default=default, **options)

    def _validate(self, value: Any) -> None:
        low, high = self.bounds
        inside = isinstance(value, tuple) and all(
            type(position) is int and low <= position <= high for position in value
        )
        if not inside or any(a >= b for a, b in pairwise(value)):
            raise ValueError(
                f"{self.name} must be a tuple of increasing integers from {low} to {high}; "
                f"got {value!r}"
            )


class ComputableTrace(param.ClassSelector):  # type: ignore[type-arg]  # Param 2.2 cannot be subscripted
    """A trace of which every score stays finite; another is refused before anything is set."""

    def _validate(self, val: Any) -> None:
        super()._validate(val)  # type: ignore[no-untyped-call]
        if isinstance(val, Trace):
            check_computable(val)


class ExplorerState(param.Parameterized):
    """The head and query on screen, mask, temperature and display options, as Param parameters.

    Attention is computed in `selection` only, and cached; views read it. Changing `query_index`
    therefore redraws one row and recomputes nothing.
    """

    # Never None: __init__ requires one, which Param's type cannot express.
    trace: param.ClassSelector[Trace] = ComputableTrace(
        class_=Trace, allow_None=False, doc="The attention shown: the calls of one forward pass."
    )
    layer = param.Integer(
        default=0, bounds=(0, 0), label="Layer", doc="Which attention call is shown, from 0."
    )
    head = param.Integer(
        default=0, bounds=(0, 0), label="Head", doc="Which head of the layer is shown, from 0."
    )
    aggregate = param.Boolean(
        default=False, label="Mean of heads", doc="Show the mean over all heads of the layer."
    )
    batch = param.Integer(
        default=0, bounds=(0, 0), label="Batch", doc="Which sequence of the batch, from 0."
    )
    query_index = param.Integer(
        default=0, bounds=(0, 0), label="Token", doc="The query token, from 0."
    )
    temperature = param.Number(
        default=1.0,
        bounds=(0.01, 100.0),
        softbounds=(0.1, 10.0),
        label="Temperature",
        doc="Divides the scores inside the softmax; 1 is the model's own, dimensionless.",
    )
    mask: param.Selector[Any] = param.Selector(
        default="none",
        objects=["none"],
        label="Mask",
        doc="Which keys a query may see. `model` is the mask the model itself used.",
    )
    align: param.Selector[Any] = param.Selector(
        default="top_left",
        objects=["top_left", "bottom_right"],
        label="Causal alignment",
        doc="Where the diagonal starts when there are more keys than queries.",
    )
    empty_rows: param.Selector[Any] = param.Selector(
        default="zero",
        objects=["zero", "uniform", "nan"],
        label="Empty rows",
        doc="The weights of a query that may see no key.",
    )
    color_seed = param.Integer(
        default=0,
        bounds=(0, 2**31 - 1),
        softbounds=(0, 99),
        label="Paint seed",
        doc="Seed of the random projection from values to colours.",
    )
    weight_scale: param.Selector[Any] = param.Selector(
        default=WEIGHT_SCALES[0].name,
        objects=[row.name for row in WEIGHT_SCALES],
        label="Colour scale",
        doc="How a weight becomes a colour, and where the scale ends: at 1, at the largest weight "
        "or at the largest of its row.",
    )
    skip_first = param.Boolean(
        default=False,
        label="Scale without first token",
        doc="The colours end at the largest number of the other tokens: many heads rest on the "
        "first one (an attention sink), next to which nothing else can be seen.",
    )
    line_heads = Positions(
        default=(),
        bounds=(0, 1023),
        label="Lines of heads",
        doc="The heads whose lines are drawn, up to 12; empty means the layer's first 12.",
    )
    lines_of_token = param.Boolean(
        default=False,
        label="Lines of the token only",
        doc="Draw the lines of the selected token only, not those of all.",
    )
    line_token = param.Parameter(
        default=None,
        doc="(0 for a query or 1 for a key, index) under the pointer in the line view, or None.",
    )
    pair = param.Parameter(
        default=None,
        doc="(query_index, key_index) under the pointer; None means the selected row's top key.",
    )
    viewport = param.Parameter(
        default=None,
        doc="(first key, last key, first query, last query) on screen; None shows all.",
    )
    dark = param.Boolean(default=False, doc="Draw on a dark page.")

    def __init__(self, trace: object, **params: Any) -> None:
        if not isinstance(trace, Trace) or not trace.calls:
            got = "none" if isinstance(trace, Trace) else type(trace).__name__
            raise ValueError(f"an explorer shows a Trace of at least one attention call; got {got}")
        self._selection: tuple[tuple[object, ...], Selection | BlockwiseSelection] | None = None
        self._tiles: dict[tuple[object, ...], NDArray[np.float32]] = {}
        self._shape = (0, 0)
        super().__init__(trace=trace)  # type: ignore[no-untyped-call]
        self._fit_trace()
        self.choose(**params)

    def choose(self, **choices: Any) -> None:
        """Set several choices, the layer first, since it bounds the others.

        Raises
        ------
        ValueError
            If a choice does not exist in this trace; earlier ones stay set.
        """
        if "layer" in choices:
            self.layer = choices.pop("layer")
        self.param.update(**choices)

    @property
    def call(self) -> AttentionCall:
        """The attention call on screen."""
        return self.trace.calls[self.layer]

    @property
    def shown_head(self) -> int | None:
        """The head on screen, or None for the mean over heads."""
        return None if self.aggregate else self.head

    @property
    def query_tokens(self) -> tuple[str, ...]:
        """The query tokens, T of them."""
        return self.trace.tokens_of(self.call, self.batch)[0]

    @property
    def key_tokens(self) -> tuple[str, ...]:
        """The key tokens, S of them."""
        return self.trace.tokens_of(self.call, self.batch)[1]

    @property
    def selection(self) -> Selection | BlockwiseSelection:
        """Scores, weights and output of the current choices; cached until one of them changes."""
        key = tuple(getattr(self, name) for name in SELECTION)
        if self._selection is None or self._selection[0] != key:
            call, rule = self.call, self.mask_rule(self.call)
            place = (call, self.shown_head, self.batch)
            choices: dict[str, Any] = {
                "temperature": self.temperature,
                "empty_rows": cast("EmptyRows", self.empty_rows),
            }
            computed: Selection | BlockwiseSelection
            if call.query_len * call.key_len > HELD_CELLS:
                computed = BlockwiseSelection(*place, rule=rule, **choices)
            else:
                computed = select(*place, mask=None if rule is None else rule.mask(), **choices)
            self._selection = (key, computed)
        return self._selection[1]

    @property
    def scaled_from(self) -> int:
        """Index of the first key that the colour scale takes into account.

        0, or if `skip_first`, one past the first key that any query sees: left padding is not a
        token.
        """
        if not self.skip_first or self.call.key_len == 1:
            return 0
        return 1 + int(self.selection.peaks.visible.argmax())

    @property
    def colours(self) -> NDArray[np.float64] | None:
        """The RGB colour of each key (S, 3) in 0..1; None if no values were kept."""
        return value_colours(self.call, self.shown_head, self.batch, seed=self.color_seed)

    def mask_rule(self, call: AttentionCall) -> VisibleKeys | None:
        """Return what the chosen mask shows at this call's lengths; None is the model's own."""
        if self.mask == "model":
            return None
        sizes = (call.query_len, call.key_len)
        # `call` may be of another layer, which may be shorter.
        needed: dict[str, Any] = {
            row.name: row.fit(getattr(self, row.name), *sizes)
            for row in find_mask(self.mask).parameters
        }
        return visible_keys(self.mask, *sizes, align=cast("Align", self.align), **needed)

    def overview(self, layer: int, head: int) -> NDArray[np.float32]:
        """One tile of the layers × heads plot; cached until mask or temperature changes."""
        call = self.trace.calls[layer]
        rule = (getattr(self, name) for name in MASK_RULE)
        setting = (self.trace, self.batch, self.temperature, *rule, self.empty_rows)
        key = (*setting, layer, head)
        if key not in self._tiles:
            if self._tiles and next(iter(self._tiles))[: len(setting)] != setting:
                self._tiles = {}
            self._tiles[key] = overview_tile(
                call,
                head,
                min(self.batch, call.batch - 1),
                mask=self.mask_rule(call) if call.live else None,
                temperature=self.temperature if call.live else 1.0,
                empty_rows=cast("EmptyRows", self.empty_rows),
            )
        return self._tiles[key]

    @param.depends("trace", watch=True)
    def _fit_trace(self) -> None:
        """Set bounds and defaults for a new trace."""
        trace = self.trace
        toy = trace.source == "toy"
        kinds = list(mask_kinds())
        self.param["mask"].objects = kinds if toy else ["model", *kinds]
        self.param["layer"].bounds = (0, len(trace.calls) - 1)
        with param.parameterized.batch_call_watchers(self):
            self.layer = min(self.layer, len(trace.calls) - 1)
            self.mask = "none" if toy else "model"
            self.empty_rows = "uniform" if toy else "zero"
            self._fit_layer()
            for name, row in mask_parameters().items():
                if row.follows_lengths:
                    setattr(self, name, row.start_at(self.call.query_len, self.call.key_len))

    @param.depends("layer", watch=True)
    def _fit_layer(self) -> None:
        """Keep head, token, batch, pad length and window inside the layer's shape."""
        call = self.call
        self.pair = self.line_token = None
        if self._shape != (call.query_len, call.key_len):
            self._shape = (call.query_len, call.key_len)
            self.viewport = None
        # In one batch, so that no watcher sees a state that is partly out of bounds.
        with param.parameterized.batch_call_watchers(self):
            for name, most in (
                ("head", call.heads - 1),
                ("batch", call.batch - 1),
                ("query_index", call.query_len - 1),
            ):
                self._fit_number(name, 0, most)
            for name, row in mask_parameters().items():
                low, most = row.bounds(call.query_len, call.key_len)
                value = row.fit(getattr(self, name), call.query_len, call.key_len)
                self._fit_number(name, low, most, value)

    def _fit_number(self, name: str, low: int, most: int, value: Any = None) -> None:
        parameter = self.param[name]
        value = min(getattr(self, name), most) if value is None else value
        # Widen first, set, then tighten: a value outside its bounds is refused.
        parameter.bounds = (low, max(most, parameter.bounds[1]))
        setattr(self, name, value)
        parameter.bounds = (low, most)


def _matters(rows: Iterable[MaskKind]) -> str:
    """Return a sentence that names the masks under which a control matters."""
    *others, last = (row.label for row in rows)
    if not others:
        return f"It matters under the {last} mask only."
    return f"It matters under the {', '.join(others)} and {last} masks only."


def _choice_of(row: MaskParameter) -> Any:
    """Return the Param parameter of a mask parameter; setting a trace adjusts its bounds."""
    build: Callable[..., Any] = Positions if row.positions else param.Integer
    return build(
        default=row.start_at(UNFITTED_LEN, UNFITTED_LEN),
        bounds=(0, UNFITTED_LEN),
        label=row.label,
        doc=row.description,
    )


for _name, _row in mask_parameters().items():
    ExplorerState.param.add_parameter(_name, _choice_of(_row))
