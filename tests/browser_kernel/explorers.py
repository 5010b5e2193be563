"""States of small explorers, and the page's own JavaScript asked about the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from attnpanel.attention.mask_table import mask_parameters, masks_for_page
from attnpanel.explorer.address import address_for_page
from attnpanel.explorer.selection import value_colours
from attnpanel.explorer.state import MASK_RULE, ExplorerState
from attnpanel.explorer.views import Drawing
from attnpanel.explorer.views.table import views_for_page
from attnpanel.explorer.weight_scales import WEIGHT_SCALES, power_name, scales_for_page
from attnpanel.models.toy import toy_trace
from attnpanel.trace import AttentionCall, Trace
from attnpanel.ui.theme import DARK, HEAD_COLOURS, LIGHT, Theme, ramp
from tests.browser_kernel.conftest import Kernel, node_running
from tests.mask_values import between

HERE = Path(__file__).parent
SEEDS = (0, 7)
CHOICES = (
    "layer", "head", "aggregate", "batch", "query_index", "temperature", *MASK_RULE, "empty_rows",
    "color_seed", "weight_scale", "skip_first", "line_heads", "lines_of_token", "line_token",
    "pair", "viewport", "dark",
)  # fmt: skip
HOSTILE = (
    "<img src=x onerror=alert(1)>", "</script>", "“quoted”", "a\nb\tc", "\u202eright to left",
    "zero\u200bwidth", "\u00a0no break", "\u2028line", "e\u0301", "😀" * 20,
    "漢字かな交じり文の長い札です。", "", " ", "${1}", "{0}%s", "\x00\x7f", "a soft\u00adhyphen",
    "exactly14chars", "just fifteen chr",
    "an extraordinarily long token, longer than every label may be",
)  # fmt: skip


# -- traces ----------------------------------------------------------------------------------


def call(
    index: int = 0,
    *,
    batch: int = 1,
    heads: int = 3,
    kv_heads: int | None = None,
    query_len: int = 5,
    key_len: int | None = None,
    values: bool = True,
    **rest: Any,
) -> AttentionCall:
    """Random numbers, the same for the same arguments; D is 11, Dv is 13."""
    rng = np.random.default_rng(index)
    keys = query_len if key_len is None else key_len
    groups = kv_heads or heads

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    given = {
        "kind": "self" if keys == query_len else "cross",
        "query": normal(batch, heads, query_len, 11),
        "key": normal(batch, groups, keys, 11),
        "value": normal(batch, groups, keys, 13) if values else None,
    }
    return AttentionCall(f"layer.{index}", index, **(given | rest))


def recorded(index: int = 0, *, unknown: bool = False) -> AttentionCall:
    """Weights alone: of one head a row is nan if `unknown`, of all a row and a cell are 0."""
    weights = np.random.default_rng(index).random((1, 2, 7, 7)).astype(np.float32)
    weights[..., 3, :] = weights[..., 2, 5] = 0
    weights /= np.where(weights.any(-1), weights.sum(-1), 1)[..., None]
    if unknown:
        weights[0, 1, 4] = np.nan
    return AttentionCall(f"layer.{index}", index, recorded_weights=weights)


def hiding_bias(*shape: int, empty: int) -> np.ndarray:
    """Numbers, -inf in places and in one whole row, and -1e30: hidden, but finite."""
    rng = np.random.default_rng(5)
    bias = rng.standard_normal(shape).astype(np.float32)
    bias[rng.random(shape) < 0.3] = -np.inf
    bias[..., empty, :] = -np.inf
    bias[..., 0, 1] = -1e30
    return bias


def traces() -> dict[str, Trace]:
    """One trace for each way in which they differ, by name."""

    def captured(*calls: AttentionCall, **tokens: Any) -> Trace:
        return Trace(calls, source="capture", model="a/model", **tokens)

    many = [HOSTILE[i % len(HOSTILE)] + str(i) * (i > len(HOSTILE)) for i in range(700)]
    gaps = np.random.default_rng(3).random((2, 3, 7, 11)) < 0.6
    gaps[1, 2, 4] = False
    return {
        "toy": toy_trace(),
        "one token": toy_trace(T=1, d_model=2, heads=1),
        "grouped keys": captured(call(0, heads=6, kv_heads=2, causal="top_left")),
        "cross, masked, batch of two": captured(
            call(0, batch=2, query_len=7, key_len=11, mask=gaps), call(1, heads=2, scale=0.25)
        ),
        "bias": captured(
            call(0, query_len=7, bias=hiding_bias(1, 3, 7, 7, empty=4)),
            call(1, query_len=3, key_len=5, bias=np.zeros((1, 5), np.float32), causal="top_left"),
        ),
        "recorded and live": captured(recorded(0), call(1, query_len=7), recorded(2, unknown=True)),
        "soft-capped, with sinks": captured(
            call(0, soft_cap=0.5, bias=hiding_bias(5, 5, empty=3)),
            call(1, query_len=7, sinks=np.array([-1.5, 0, 2], np.float32), mask=gaps[:1, :, :, :7]),
            call(2, soft_cap=2.0, sinks=np.array([0, 1, 30], np.float32), causal="top_left"),
        ),
        "no values": captured(call(0, heads=1, values=False, causal="bottom_right")),
        "hostile tokens": captured(
            call(0, heads=2, query_len=len(HOSTILE), causal="top_left"), query_tokens=[HOSTILE]
        ),
        "thirty keys": captured(
            call(0, heads=2, query_len=23, key_len=30, q_offset=7, causal="top_left"),
            query_tokens=[many[:23]],
            key_tokens=[many[:30]],
        ),
        "long": captured(
            call(0, heads=2, query_len=700, causal="top_left"),
            call(1, heads=1, query_len=300, key_len=1030),
            query_tokens=[many],
        ),
        "long, recorded": captured(
            AttentionCall("wide", 0, recorded_weights=np.full((1, 1, 3, 701), 1 / 701, np.float32))
        ),
    }


# -- the page --------------------------------------------------------------------------------


class Page:
    """The page's JavaScript in Node."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._shown = kernel, None

    def __call__(self, name: str, *args: Any) -> Any:
        """Call an export of drawings.mjs; it must leave its arguments as they are."""
        return self._kernel(name, *args)

    def show(self, trace: Trace, **cache: Any) -> None:
        """Open a trace, with an empty cache."""
        self("show", data_of(trace), cache)
        self._shown = trace

    def _open(self, state: ExplorerState) -> None:
        if self._shown is not state.trace:
            self.show(state.trace)

    def ask(self, name: str, state: ExplorerState) -> Any:
        """Give one function Python's very selection, so that its answer must be Python's."""
        self._open(state)
        return self("ask", name, choices(state), selection_of(state))

    def live(self, name: str, state: ExplorerState) -> Any:
        """Let the page compute the selection itself."""
        self._open(state)
        return self("live", name, choices(state))

    def selected(self, state: ExplorerState) -> dict[str, Any]:
        self._open(state)
        return self("selected", choices(state))


@contextmanager
def opened_page() -> Iterator[Page]:
    """The page's files in Node."""
    with node_running(HERE / "drawings.mjs") as kernel:
        yield Page(kernel)


def choices(state: ExplorerState) -> dict[str, Any]:
    """The state as the page has it."""
    values = {name: getattr(state, name) for name in CHOICES}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def selection_of(state: ExplorerState) -> dict[str, Any]:
    made = state.selection
    length, keys = made.weights.shape
    return {"T": length, "S": keys} | {
        name: getattr(made, name) for name in ("scores", "weights", "output", "visible", "empty")
    }


def data_of(trace: Trace) -> dict[str, Any]:
    return {
        "source": trace.source,
        "model": trace.model,
        "masks": masks_for_page(),
        "views": views_for_page(),
        "scales": scales_for_page(),
        "address": address_for_page(),
        "calls": [_call_data(one) | _outputs_data(one, at) for at, one in enumerate(trace)],
        "tokens": [
            [
                dict(zip(("queries", "keys"), map(list, trace.tokens_of(one, b)), strict=True))
                for b in range(one.batch)
            ]
            for one in trace.calls
        ],
        "vocabularies": [list(one.outputs.vocabulary) if one.outputs else [] for one in trace],
        "origins": [],
        "unknownToken": "",
        "headColours": list(HEAD_COLOURS),
        "palettes": {"light": _palettes(LIGHT), "dark": _palettes(DARK)},
        "themes": {
            name: {
                part: getattr(theme, part)
                for part in ("ink", "muted", "line", "accent", "masked", "bar")
            }
            for name, theme in (("light", LIGHT), ("dark", DARK))
        },
    }


def _call_data(one: AttentionCall) -> dict[str, Any]:
    full = (one.batch, one.heads, one.query_len, one.key_len)
    places = [(b, h) for b in range(one.batch) for h in range(one.heads)]
    usual = one.head_dim is not None and bool(np.isclose(one.scale, one.head_dim**-0.5))
    return {
        **dict(zip("BHTS", full, strict=True)),
        "Hkv": one.kv_heads,
        "D": one.head_dim,
        "Dv": one.value_dim,
        "layer": one.layer,
        "kind": one.kind,
        "qOffset": one.q_offset,
        "live": one.live,
        "hasValue": one.value is not None,
        "hasColours": one.value is not None,
        "hasBias": one.bias is not None,
        "scale": one.scale,
        "usualScale": usual,
        "softCap": one.soft_cap,
        "rotary": None if one.rotary is None else [one.rotary.layout, one.rotary.channels],
        "sinks": None if one.sinks is None else one.sinks.tolist(),
        "dtype": "recorded weights" if one.query is None else str(one.query.dtype),
        "query": one.query,
        "key": one.key,
        "value": one.value,
        "bias": None if one.bias is None else np.broadcast_to(one.bias, full).astype(np.float32),
        "visible": np.stack([one.visible(h, b) for b, h in places]),
        "recorded": one.recorded_weights,
        "colours": _colours(one),
    }


def _outputs_data(one: AttentionCall, at: int) -> dict[str, Any]:
    if one.outputs is None:
        return {"outputs": None}
    listed = 0 if one.outputs.key_ids is None else one.outputs.key_ids.shape[-1]
    return {
        "outputs": {"vocabulary": at, "missing": one.outputs.missing},
        "written": {"listed": listed or None, "arrays": one.outputs.arrays},
    }


def _colours(one: AttentionCall) -> dict[str, Any]:
    if one.value is None:
        return {}
    return {
        f"{batch} {'mean' if head is None else head} {seed}": value_colours(
            one, head, batch, seed=seed
        )
        for batch in range(one.batch)
        for head in (None, *range(one.heads))
        for seed in SEEDS
    }


def _palettes(theme: Theme) -> dict[str, Any]:
    powers = {power_name(row.power): row.power for row in WEIGHT_SCALES}
    return {
        "sequential": {
            name: list(ramp(theme.sequential, power=power)) for name, power in powers.items()
        },
        "diverging": list(ramp(theme.diverging)),
    }


# -- states ----------------------------------------------------------------------------------


@st.composite
def states(draw: st.DrawFn, trace: Trace) -> ExplorerState:
    """A state of which every choice is drawn."""
    state = ExplorerState(trace)
    state.layer = draw(st.integers(0, len(trace.calls) - 1))
    numbers = ("head", "batch", "query_index")
    names = ("mask", "align", "empty_rows", "weight_scale")
    state.choose(
        **{name: draw(st.integers(*state.param[name].bounds)) for name in numbers},
        **{name: draw(st.sampled_from(state.param[name].objects)) for name in names},
        **{
            name: draw(between(row, *state.param[name].bounds))
            for name, row in mask_parameters().items()
        },
        aggregate=draw(st.integers(0, 3)) == 3,
        skip_first=draw(st.booleans()),
        temperature=draw(st.floats(0.1, 10)),
        color_seed=draw(st.sampled_from(SEEDS)),
        dark=draw(st.booleans()),
        # One place further than there are tokens: such a pair is none.
        pair=draw(st.none() | _places(state.call.query_len, state.call.key_len)),
    )
    across = st.floats(-3, state.call.key_len + 3)
    down = st.floats(-3, state.call.query_len + 3)
    state.viewport = draw(st.none() | st.tuples(across, across, down, down))
    return state


def _places(query_len: int, key_len: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, query_len), st.integers(0, key_len))


# -- comparing -------------------------------------------------------------------------------


def assert_same_drawing(made: dict[str, Any], expected: Drawing, *, atol: float = 0) -> None:
    """Hold a page's drawing to Python's: numbers within `atol`, all else identical."""
    assert list(made["sources"]) == list(expected.sources)
    for name, columns in expected.sources.items():
        assert_same_columns(name, made["sources"][name], columns, atol)
    for name in ("x", "y"):
        np.testing.assert_array_equal(made[name], getattr(expected, name), err_msg=name)
    if expected.colours is None:
        assert made["colours"] is None
    else:
        ends = (expected.colours.low, expected.colours.high)
        np.testing.assert_allclose(
            [made["colours"]["low"], made["colours"]["high"]], ends, rtol=atol, atol=atol
        )
        assert made["colours"]["palette"] == list(expected.colours.palette)
        assert made["colours"]["power"] == expected.colours.power
    for made_ticks, expected_ticks in (
        (made.get("xTicks"), expected.x_ticks),
        (made.get("yTicks"), expected.y_ticks),
    ):
        assert made_ticks == (None if expected_ticks is None else list(map(list, expected_ticks)))
    assert made["xLabels"] == expected.x_labels
    assert made["yLabels"] == expected.y_labels
    outline = None if expected.outline is None else list(expected.outline)
    assert made["outline"] == outline
    assert made["height"] == expected.height
    assert made["masked"] == expected.masked


def assert_same_columns(name: str, made: dict, columns: Any, atol: float) -> None:
    beside = {"rows", "columns"} if "image" in columns else set()
    assert made.keys() == columns.keys() | beside
    for column, expected in columns.items():
        where = f"{name} {column}"
        if column in ("image", "exact"):
            matrix = made[column][0].reshape(made["rows"], made["columns"])
            assert matrix.dtype == np.float32
            # Without its first key, a row's own scale goes beyond 1.
            np.testing.assert_allclose(matrix, expected[0], rtol=atol, atol=atol, err_msg=where)
        elif isinstance(expected, np.ndarray):
            # Sums of a row in another order.
            np.testing.assert_allclose(
                made[column], expected, rtol=0, atol=max(atol, 1e-12), err_msg=where
            )
        else:
            assert list(made[column]) == list(expected), where
