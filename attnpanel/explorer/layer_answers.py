"""Answers for layers that are too large for the page: pooled matrices, exact rows, tiles.

A question is ``{"kind", "id", "state", "layers"}``, about the choices in `state`; a newer question
replaces an older one of its kind. An answer has the `kind` and `id` of its question.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.explanation import written
from attnpanel.analysis.head_metrics import mean_of_rows, values_of_rows
from attnpanel.analysis.layer_flow import rollout_row
from attnpanel.attention.mask_table import mask_parameters
from attnpanel.explorer.page_limits import fits
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views import VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.explorer.views.drawing import Drawing
    from attnpanel.trace import Trace
    from attnpanel.ui.session_callbacks import SessionScheduler

# In order of priority: what is on screen comes first.
KINDS = ("matrices", "row", "colours", "pointed", "why", "numbers", "rollout", "tiles")
# Choices that affect no answer.
NOT_ASKED = ("trace", "name", "pair", "dark", "line_heads", "lines_of_token", "line_token")
MAX_ERROR_CHARS = 500


@dataclass
class Question:
    """A question of the page."""

    kind: str
    number: int
    choices: dict[str, Any]
    layers: list[int]
    dropped: bool = False


class LayerAnswers:
    """Answers a page's questions about a trace, one at a time.

    On a server a thread computes, so that other messages of the page are handled meanwhile.

    Parameters
    ----------
    trace : Trace
    schedule : SessionScheduler
        Schedules callbacks on the session of the page.
    send : callable
        Sends an answer to the page.
    """

    def __init__(
        self, trace: Trace, schedule: SessionScheduler, send: Callable[[dict[str, Any]], None]
    ) -> None:
        # Holds the choices of the question being answered; not the explorer's own state.
        self._state = ExplorerState(trace)
        self._send, self._schedule = send, schedule
        self._lock = threading.Lock()
        self._waiting: dict[str, Question] = {}
        self._current: Question | None = None

    def ask(self, asked: dict[str, Any]) -> None:
        """Queue a question; it is answered after the one being computed.

        Raises
        ------
        ValueError, TypeError, LookupError
            If it is not a valid question about this trace.
        """
        question = self._read(asked)
        with self._lock:
            self._drop(question.kind)
            self._waiting[question.kind] = question
            if self._current is not None:
                return
            self._current = question
        if self._schedule.served:
            threading.Thread(target=self._work, name="attnpanel-layers", daemon=True).start()
        else:
            self._work()

    def drop(self, kind: str) -> None:
        """Drop the question of a kind, even while it is being answered."""
        with self._lock:
            self._drop(kind)

    def _drop(self, kind: str) -> None:
        self._waiting.pop(kind, None)
        if self._current is not None and self._current.kind == kind:
            self._current.dropped = True

    def _read(self, asked: dict[str, Any]) -> Question:
        kind, number, layers = asked["kind"], asked["id"], asked["layers"]
        if kind not in KINDS or type(number) is not int:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
        count = len(self._state.trace.calls)
        if len(layers) > count or not all(type(x) is int and 0 <= x < count for x in layers):
            raise ValueError(
                f"layers must be at most {count} integers from 0 to {count - 1}; got {layers!r:.80}"
            )
        sent, names = dict(asked["state"]), set(self._state.param).difference(NOT_ASKED)
        choices = with_positions({name: sent[name] for name in names & set(sent)})
        choices["viewport"] = numbers(choices.get("viewport"), 4, float)
        if kind == "why":
            choices["pair"] = numbers(sent["pair"], 2, int)
        return Question(kind, number, choices, sorted(set(layers)))

    def _work(self) -> None:
        while (question := self._next()) is not None:
            try:
                self._state.choose(**question.choices)
                content = getattr(self, f"_{question.kind}")(question)
            # The page shows the error in place of the answer.
            except Exception as error:  # noqa: BLE001 - and a page can ask for anything
                content = {"error": str(error)[:MAX_ERROR_CHARS] or type(error).__name__}
            if content is not None and not question.dropped:
                answer = {"kind": question.kind, "id": question.number, **content}
                # A notebook's channel loses binary buffers that accompany a message.
                self._schedule(
                    partial(self._send, answer if self._schedule.served else as_text(answer))
                )

    def _next(self) -> Question | None:
        with self._lock:
            kind = next((kind for kind in KINDS if kind in self._waiting), None)
            self._current = None if kind is None else self._waiting.pop(kind)
            return self._current

    def _matrices(self, _question: Question) -> dict[str, Any]:
        """Return the pooled heatmaps of the viewport, and which rows are empty."""
        state = self._state
        return {
            "T": state.call.query_len,
            "S": state.call.key_len,
            "empty": _bytes(state.selection.empty, np.uint8),
            "first": state.scaled_from,
            "heatmaps": {
                view.name: _heatmap(view.draw(state), f"attn:{view.name}")
                for view in VIEWS
                if view.heatmap
            },
        }

    def _row(self, _question: Question) -> dict[str, Any]:
        """Return the exact row of the selected query."""
        row = self._state.selection.row(self._state.query_index)
        return {
            "weights": _bytes(row.weights[0], np.float32),
            "scores": None if row.scores is None else _bytes(row.scores[0], np.float32),
            "visible": _bytes(row.visible[0], np.uint8),
        }

    _pointed = _row

    def _why(self, _question: Question) -> dict[str, Any]:
        """Return the vectors of a pair, and what the head writes from each key of its row."""
        state, call = self._state, self._state.call
        query, key = state.pair or (-1, -1)
        if call.query is None or call.key is None or state.aggregate:
            raise ValueError("a pair needs one head with queries and keys")
        if not (0 <= query < call.query_len and 0 <= key < call.key_len):
            raise ValueError(
                f"pair must lie in {call.query_len} x {call.key_len}; got {state.pair}"
            )
        shared = state.head // (call.heads // call.kv_heads)
        bias, found = None, None
        if call.bias is not None:
            full = (call.batch, call.heads, call.query_len, call.key_len)
            bias = np.broadcast_to(call.bias, full)[state.batch, state.head, query, key, None]
        if call.value is not None:
            row = state.selection.row(query).weights[0]
            found = written(row, call.value[state.batch, shared])
        return {
            "query": _bytes(call.query[state.batch, state.head, query], np.float64),
            "key": _bytes(call.key[state.batch, shared, key], np.float64),
            "bias": None if bias is None else _bytes(bias, np.float64),
            "written": None
            if found is None
            else {
                "valueNorms": _bytes(found.value_norms, np.float64),
                "norms": _bytes(found.norms, np.float64),
                "shares": _bytes(found.shares, np.float64),
                "output": _bytes(found.output, np.float64),
            },
            "outputs": self._outputs(query, key),
        }

    def _outputs(self, query: int, key: int) -> dict[str, Any] | None:
        """Return what was recorded of a pair after the output projection."""
        state, outputs = self._state, self._state.call.outputs
        if outputs is None:
            return None
        batch, head, pair, row = state.batch, state.head, None, None
        if outputs.final_scale is not None:
            weight = state.selection.row(query).weights[0, key]
            factor = float(weight) * float(outputs.final_scale[batch, query])
            pair = [list(entry) for entry in outputs.key_tokens(batch, head, key, factor)]
            if state.temperature == 1 and state.mask == "model":
                row = [list(entry) for entry in outputs.row_tokens(batch, head, query)]
        norms = None if outputs.norms is None else _bytes(outputs.norms[batch, head], np.float64)
        return {"norms": norms, "pair": pair, "row": row, "missing": outputs.missing}

    def _colours(self, _question: Question) -> dict[str, Any]:
        colours = self._state.colours
        return {"colours": None if colours is None else _bytes(colours, np.float64)}

    def _numbers(self, _question: Question) -> dict[str, Any]:
        call = self._state.call
        rows: dict[str, list[NDArray[np.float64]]] = {"entropy": [], "mean_distance": []}
        for queries, block in self._state.selection.blocks():
            weights = np.nan_to_num(block.weights)
            for name, values in rows.items():
                values.append(values_of_rows(name, weights, queries.start + call.q_offset))
        entropy, distance = (mean_of_rows(np.concatenate(values)) for values in rows.values())
        measured = {
            view.name: {
                name: _bytes(array, np.float64) for name, array in view.measure(self._state).items()
            }
            for view in VIEWS
            if view.measure is not None
        }
        # Between two sequences there is no distance; abs turns -0.0 into 0.0.
        return {
            "entropy": abs(entropy),
            "distance": distance if call.kind == "self" else None,
            "measured": measured,
        }

    def _rollout(self, question: Question) -> dict[str, Any]:
        """Return what of each token has reached the selected one through the layers."""
        state = self._state
        if not fits(state.call):
            raise ValueError(f"a rollout must be of a layer that fits the page; got {state.layer}")
        row = rollout_row(state.trace, state.query_index, state.batch, question.layers)
        return {"row": _bytes(row, np.float64)}

    def _tiles(self, question: Question) -> dict[str, Any] | None:
        """Return a small image of each head of the layers; None if another question interrupts."""
        places, values = [], bytearray()
        for layer in question.layers:
            for head in range(self._state.trace.calls[layer].heads):
                if self._interrupted_by_others(question):
                    return None
                tile = self._state.overview(layer, head)
                places.append([layer, head, *tile.shape])
                values += _bytes(tile, np.float32)
        return {"tiles": places, "values": bytes(values)}

    def _interrupted_by_others(self, question: Question) -> bool:
        """Whether other questions wait; if so, requeue this one (finished tiles are cached)."""
        with self._lock:
            if self._waiting and not question.dropped:
                self._waiting[question.kind] = question
            return bool(self._waiting) or question.dropped


def with_positions(sent: dict[str, Any]) -> dict[str, Any]:
    """Return choices with positions as tuples; JSON has lists only."""
    positions = {name for name, row in mask_parameters().items() if row.positions} | {"line_heads"}
    return {name: tuple(value) if name in positions else value for name, value in sent.items()}


def numbers(sent: Any, count: int, kind: type) -> tuple[Any, ...] | None:
    """Return `count` numbers as a tuple, or None if `sent` is None.

    Raises
    ------
    ValueError
        If there are more or fewer, or one of them is not finite or is below -1.
    """
    if sent is None:
        return None
    read = tuple(kind(number) for number in sent)
    if len(read) != count or not np.isfinite(read).all() or min(read) < -1:
        raise ValueError(f"expected {count} finite numbers, each at least -1; got {read}")
    return read


def as_text(content: Any) -> Any:
    """Return an answer with its arrays encoded as base64 text."""
    if isinstance(content, bytes):
        return {"base64": b64encode(content).decode("ascii")}
    if isinstance(content, dict):
        return {name: as_text(value) for name, value in content.items()}
    return content


def _heatmap(drawing: Drawing, name: str) -> dict[str, Any]:
    columns, colours = drawing.sources[name], drawing.colours
    assert colours is not None  # noqa: S101 - a heatmap has a scale
    rows, wide = columns["image"][0].shape
    heatmap = {"rows": rows, "columns": wide, "high": colours.high}
    heatmap["values"] = _bytes(columns["image"][0], np.float32)
    if "exact" in columns:
        heatmap["exact"] = _bytes(columns["exact"][0], np.float32)
    return heatmap


def _bytes(array: NDArray[Any], dtype: type) -> bytes:
    return array.astype(dtype, copy=False).tobytes()
