"""ExplorerState: every choice a reader can make, and what follows from it.

Knows neither Panel nor HoloViews, so that the same class stands behind the page, the
report and a notebook cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import param

from attnpanel.masks import MASKS, make_mask
from attnpanel.selection import Selection, overview_tile, select, value_colours
from attnpanel.trace import AttentionCall, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from attnpanel.masks import Align, MaskName
    from attnpanel.rules import EmptyRows

# What an address bar carries, in reading order: its name there and the parameter behind it.
ADDRESS = {
    "layer": "layer",
    "head": "head",
    "mean": "aggregate",
    "token": "query_index",
    "temperature": "temperature",
    "mask": "mask",
    "pad": "pad_len",
    "window": "window",
    "align": "align",
    "empty": "empty_rows",
    "batch": "batch",
    "paint": "color_seed",
    "scale": "weight_scale",
    "nosink": "skip_first",
}
# Left out of the address bar while they are as they start.
UNSAID = ("aggregate", "batch", "align", "color_seed", "weight_scale", "skip_first")
SELECTION = (
    "trace", "layer", "head", "aggregate", "batch", "temperature", "mask", "pad_len", "window",
    "align", "empty_rows",
)  # fmt: skip


class ExplorerState(param.Parameterized):
    """One head of one layer of a trace, the query looked at, and how its scores are weighed.

    `selection` is the only place where attention is computed; views read it and never
    recompute. Moving `query_index` therefore redraws one row and touches no matrix.
    """

    # Never None: __init__ demands one, which the parameter's own type can't say.
    trace: param.ClassSelector[Trace] = param.ClassSelector(  # type: ignore[assignment]
        class_=Trace, allow_None=False, doc="The attention shown: the calls of one forward pass."
    )
    layer = param.Integer(
        default=0, bounds=(0, 0), label="Layer", doc="Which attention call is shown, from 0."
    )
    head = param.Integer(
        default=0, bounds=(0, 0), label="Head", doc="Which head of the layer is shown, from 0."
    )
    aggregate = param.Boolean(
        default=False, label="Aggregate heads", doc="Show the mean over all heads of the layer."
    )
    batch = param.Integer(
        default=0, bounds=(0, 0), label="Batch", doc="Which sequence of the batch, from 0."
    )
    query_index = param.Integer(
        default=0, bounds=(0, 0), label="Token i", doc="The query: the token that looks, from 0."
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
    pad_len = param.Integer(
        default=1,
        bounds=(0, 1),
        label="Pad length",
        doc="How many leading tokens are real; the rest is padding. In tokens.",
    )
    window = param.Integer(
        default=3,
        bounds=(1, 3),
        label="Window",
        doc="A query sees the keys fewer than this many tokens away.",
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
        default="square root",
        objects=["square root", "linear", "per row"],
        label="Colour scale",
        doc="How a weight becomes a colour: its square root, itself, or relative to its row.",
    )
    skip_first = param.Boolean(
        default=False,
        label="Scale without first token",
        doc="The colours end at the largest number of the other tokens: many heads rest on the "
        "first one (an attention sink), next to which nothing else can be seen.",
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
        self._selection: tuple[tuple[object, ...], Selection] | None = None
        self._tiles: dict[tuple[object, ...], NDArray[np.float32]] = {}
        self._shape = (0, 0)
        super().__init__(trace=trace)  # type: ignore[no-untyped-call]
        self._fit_trace()
        self.choose(**params)

    def choose(self, **choices: Any) -> None:
        """Set several choices, the layer first: it decides which others exist.

        Raises
        ------
        ValueError
            If a choice does not exist in this trace; those before it are made.
        """
        if "layer" in choices:
            self.layer = choices.pop("layer")
        self.param.update(**choices)

    # -- what follows from the choices -------------------------------------------------

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
        """The T tokens that look."""
        return self.trace.tokens_of(self.call, self.batch)[0]

    @property
    def key_tokens(self) -> tuple[str, ...]:
        """The S tokens that are looked at."""
        return self.trace.tokens_of(self.call, self.batch)[1]

    @property
    def selection(self) -> Selection:
        """What the current choices compute to; kept until one of them changes."""
        key = tuple(getattr(self, name) for name in SELECTION)
        if self._selection is None or self._selection[0] != key:
            computed = select(
                self.call,
                self.shown_head,
                self.batch,
                mask=self.mask_of(self.call),
                temperature=self.temperature,
                empty_rows=cast("EmptyRows", self.empty_rows),
            )
            self._selection = (key, computed)
        return self._selection[1]

    @property
    def scaled_from(self) -> int:
        """The first key whose numbers count for the colour scale.

        0, or where the first token is left out the key after the first that any query sees:
        padding on the left is no token.
        """
        if not self.skip_first or self.call.key_len == 1:
            return 0
        return 1 + int(self.selection.visible.any(axis=0).argmax())

    @property
    def colours(self) -> NDArray[np.float64] | None:
        """The paint of each key (S, 3), 0..1; None where no values were kept."""
        return value_colours(self.call, self.shown_head, self.batch, seed=self.color_seed)

    @property
    def shown_pair(self) -> tuple[int, int]:
        """The pair under the pointer, else the selected query and the key it looks at most."""
        call = self.call
        if self.pair and self.pair[0] < call.query_len and self.pair[1] < call.key_len:
            return int(self.pair[0]), int(self.pair[1])
        row = self.selection.weights[self.query_index]
        return self.query_index, int(np.nan_to_num(row).argmax())

    def mask_of(self, call: AttentionCall) -> NDArray[np.bool_] | None:
        """Return the chosen mask at this call's lengths (T, S); None is the model's own."""
        if self.mask == "model":
            return None
        return make_mask(
            cast("MaskName", self.mask),
            call.query_len,
            call.key_len,
            pad_len=min(self.pad_len, call.key_len),
            window=self.window,
            align=cast("Align", self.align),
        )

    def overview(self, layer: int, head: int) -> NDArray[np.float32]:
        """One tile of the layers × heads picture; kept while mask and temperature stay."""
        call = self.trace.calls[layer]
        setting = (
            self.trace, self.batch, self.temperature, self.mask, self.pad_len, self.window,
            self.align, self.empty_rows,
        )  # fmt: skip
        key = (*setting, layer, head)
        if key not in self._tiles:
            if self._tiles and next(iter(self._tiles))[: len(setting)] != setting:
                self._tiles = {}
            self._tiles[key] = overview_tile(
                call,
                head,
                min(self.batch, call.batch - 1),
                mask=self.mask_of(call) if call.live else None,
                temperature=self.temperature if call.live else 1.0,
                empty_rows=cast("EmptyRows", self.empty_rows),
            )
        return self._tiles[key]

    def unavailable(self) -> dict[str, str]:
        """Return the controls that do nothing now, each with the reason in words."""
        call = self.call
        mask = self.mask if call.live else "model"
        needs = next((row.needs for row in MASKS if row.kind == mask), ())
        aligned = mask in ("causal", "window")
        recorded = "Only the weights were recorded, so they can't be recomputed."
        # Later rows win: a control may be idle for more than one reason.
        rules = (
            ("layer", len(self.trace.calls) == 1, "This trace has one layer."),
            ("head", self.aggregate, "The mean over all heads is shown."),
            ("head", call.heads == 1, "This layer has one head."),
            ("aggregate", call.heads == 1, "This layer has one head."),
            ("query_index", call.query_len == 1, "There is one query token."),
            ("batch", call.batch == 1, "There is one sequence."),
            ("temperature", not call.live, recorded),
            ("mask", not call.live, recorded),
            ("pad_len", "pad_len" not in needs, "It matters under the padding masks only."),
            ("window", max(call.query_len, call.key_len) == 1, "There is one token."),
            ("window", "window" not in needs, "It matters under the window mask only."),
            ("align", not aligned, "It matters under the causal and window masks only."),
            ("align", call.query_len == call.key_len, "There are as many queries as keys."),
            (
                "empty_rows",
                call.sinks is not None,
                "The attention sink takes the whole of such a row.",
            ),
            ("empty_rows", not self._has_empty_rows(), "Every query sees a key."),
            ("skip_first", call.key_len == 1, "There is one key token."),
            ("color_seed", call.value is None, "No values were kept in this trace."),
        )
        return {name: reason for name, idle, reason in rules if idle}

    def _has_empty_rows(self) -> bool:
        try:
            return bool(self.selection.empty.any())
        except ValueError:
            return False  # what can't be computed is said where it would be shown

    # -- the address bar ---------------------------------------------------------------

    def to_address(self) -> dict[str, str]:
        """Return the choices that matter now as short texts, for a link that restores them."""
        texts, idle = {}, self.unavailable()
        for short, name in ADDRESS.items():
            value = self._numbered(name)
            if name in idle or (name in UNSAID and value == self.param[name].default):
                continue
            texts[short] = f"{value:.6g}" if isinstance(value, float) else str(value)
            if isinstance(value, bool):
                texts[short] = "1" if value else "0"
        return texts

    def from_address(self, texts: Mapping[str, str]) -> list[str]:
        """Apply the choices a link carries; unusable ones are left out and named.

        Parameters
        ----------
        texts : mapping of str to str
            As :meth:`to_address` makes them; other names are ignored.

        Returns
        -------
        list of str
            One sentence for each choice that could not be restored.
        """
        problems = []
        for short, name in ADDRESS.items():
            if short not in texts:
                continue
            text, parameter = texts[short], self.param[name]
            try:
                if isinstance(parameter, param.Boolean):
                    value: object = {"0": False, "1": True}[text]
                elif isinstance(parameter, param.Integer):
                    value = self._place(name, int(text))
                elif isinstance(parameter, param.Number):
                    value = float(text)
                else:
                    value = text
                setattr(self, name, value)
            except (KeyError, ValueError):
                problems.append(f"{parameter.label}: “{text[:40]}” does not apply here.")
        return problems

    def _numbered(self, name: str) -> Any:
        """A choice as people are told it: layers and heads by their numbers in the whole trace."""
        value = getattr(self, name)
        return self._numbers(name)[value] if name in ("layer", "head") else value

    def _place(self, name: str, number: int) -> int:
        return self._numbers(name).index(number) if name in ("layer", "head") else number

    def _numbers(self, name: str) -> tuple[int, ...]:
        trace = self.trace
        return trace.layer_numbers if name == "layer" else trace.head_numbers(self.call)

    # -- keeping the choices inside the trace --------------------------------------------

    @param.depends("trace", watch=True)
    def _fit_trace(self) -> None:
        """Set what a new trace starts with."""
        trace = self.trace
        toy = trace.source == "toy"
        kinds = [row.kind for row in MASKS]
        self.param["mask"].objects = kinds if toy else ["model", *kinds]
        self.param["layer"].bounds = (0, len(trace.calls) - 1)
        with param.parameterized.batch_call_watchers(self):
            self.layer = min(self.layer, len(trace.calls) - 1)
            self.mask = "none" if toy else "model"
            self.empty_rows = "uniform" if toy else "zero"
            self.pad_len = min(self.pad_len, self.param["pad_len"].bounds[1])
            self._fit_layer()
            self.pad_len = self.call.key_len

    @param.depends("layer", watch=True)
    def _fit_layer(self) -> None:
        """Keep head, token, batch, pad length and window inside the layer's shape."""
        call = self.call
        self.pair = None
        if self._shape != (call.query_len, call.key_len):
            self._shape = (call.query_len, call.key_len)
            self.viewport = None
        # At once, so that nobody watching sees a state that is half inside the layer.
        with param.parameterized.batch_call_watchers(self):
            for name, most in (
                ("head", call.heads - 1),
                ("batch", call.batch - 1),
                ("query_index", call.query_len - 1),
                ("pad_len", call.key_len),
                ("window", max(call.query_len, call.key_len)),
            ):
                self._fit_number(name, 1 if name == "window" else 0, most)

    def _fit_number(self, name: str, low: int, most: int) -> None:
        parameter = self.param[name]
        value = min(getattr(self, name), most)
        # Widen first, set, then tighten: a value outside its bounds is refused.
        parameter.bounds = (low, max(most, parameter.bounds[1]))
        setattr(self, name, value)
        parameter.bounds = (low, most)
