"""What every source produces and every view takes: attention calls in order, with their tokens.

A call keeps the inputs of attention (query, key, value, mask, bias), never the (T, S) weights
of every head: those are computed when asked for, one head at a time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attnpanel.attention_call import AttentionCall, Causal, Kind
from attnpanel.rules import check_text, check_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from attnpanel.explorer import Explorer
    from attnpanel.trace_choice import Chosen, Layers, Numbers

__all__ = ["AttentionCall", "Causal", "Kind", "Trace", "TraceFileError"]


class TraceFileError(ValueError):
    """A file is no readable trace; the message names the file, the rule and what came."""


class Trace:
    """Attention calls in the order they happened, and the tokens they are about.

    Parameters
    ----------
    calls : iterable of AttentionCall, optional
    query_tokens : sequence of token sequences, optional
        The token strings of each batch entry: ``query_tokens[b][t]``.
    key_tokens : sequence of token sequences, optional
        The tokens of the keys where they differ (cross-attention). None: those of the queries.
    source, model : str, optional
        Where the trace comes from, and which model made it; shown to people, never interpreted.
    created : str, optional
        ISO 8601 time in UTC; None means now.

    Examples
    --------
    >>> import numpy as np
    >>> eye = np.eye(2, dtype=np.float32)[None, None]
    >>> call = AttentionCall("layer.0", 0, query=np.zeros_like(eye), key=eye)
    >>> trace = Trace([call], query_tokens=[["a", "b"]])
    >>> trace.calls[0].weights(head=0)
    array([[0.5, 0.5],
           [0.5, 0.5]], dtype=float32)
    >>> trace.tokens_of(call, batch=0)
    (('a', 'b'), ('a', 'b'))
    """

    def __init__(
        self,
        calls: Iterable[AttentionCall] = (),
        *,
        query_tokens: Sequence[Sequence[str]] = (),
        key_tokens: Sequence[Sequence[str]] | None = None,
        source: str = "",
        model: str = "",
        created: str | None = None,
    ) -> None:
        check_text("source", source)
        check_text("model", model)
        self._calls: list[AttentionCall] = []
        # Set where this trace is a part of another one.
        self.chosen: Chosen | None = None
        self._head_importance: tuple[NDArray[np.floating], ...] | None = None
        for call in calls:
            self.append(call)
        self.set_tokens(query_tokens, key_tokens)
        self.source = source
        self.model = model
        self.created = _now() if created is None else created
        check_time("created", self.created)

    def __repr__(self) -> str:
        return f"Trace({len(self._calls)} calls, source={self.source!r}, model={self.model!r})"

    @property
    def calls(self) -> tuple[AttentionCall, ...]:
        """The calls so far, in order."""
        return tuple(self._calls)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layer name of each call, in order."""
        return tuple(call.layer for call in self._calls)

    @property
    def layer_numbers(self) -> tuple[int, ...]:
        """The number of each call: its place, or where layers were chosen the whole's."""
        return self.chosen.layers if self.chosen else tuple(range(len(self._calls)))

    def head_numbers(self, call: AttentionCall) -> tuple[int, ...]:
        """Return the number of each head: its place, or where heads were chosen the whole's."""
        known = self.chosen.heads if self.chosen else None
        return tuple(range(call.heads)) if known is None else known

    @property
    def query_tokens(self) -> tuple[tuple[str, ...], ...]:
        """``query_tokens[b][t]``; empty where the tokens are not known."""
        return self._query_tokens

    @property
    def key_tokens(self) -> tuple[tuple[str, ...], ...]:
        """``key_tokens[b][s]``; the query tokens where no others were given."""
        return self._key_tokens

    @property
    def head_importance(self) -> tuple[NDArray[np.floating], ...] | None:
        """How much the model's output needs each head, one array of shape (H,) a call.

        None until :func:`attnpanel.head_importance` has measured it. Trace files and reports
        have it.
        """
        return self._head_importance

    @head_importance.setter
    def head_importance(self, importance: Sequence[NDArray[np.floating]] | None) -> None:
        if importance is None:
            self._head_importance = None
            return
        shapes = [array.shape for array in importance]
        expected = [(call.heads,) for call in self._calls]
        if shapes != expected:
            raise ValueError(
                f"head_importance must be one array a call, of shapes {expected}; got {shapes}"
            )
        self._head_importance = tuple(importance)

    def append(self, call: AttentionCall) -> None:
        """Add a call at the end; capture does so while the model runs."""
        if not isinstance(call, AttentionCall):
            raise ValueError(f"a trace holds AttentionCall; got {type(call).__name__}")  # noqa: TRY004 - one error type for wrong input
        if self.chosen:
            raise ValueError("a part of a trace takes no further call; add it to the whole")
        self._calls.append(call)
        self._head_importance = None  # it was that of other calls

    def set_calls(self, calls: Iterable[AttentionCall]) -> None:
        """Replace the calls; a capture does so where it joins the steps of a generation."""
        before, self._calls = self._calls, []
        try:
            for call in calls:
                self.append(call)
        except ValueError:
            self._calls = before
            raise

    def set_tokens(
        self,
        query_tokens: Sequence[Sequence[str]],
        key_tokens: Sequence[Sequence[str]] | None = None,
    ) -> None:
        """Replace the tokens; parameters as for the class."""
        self._query_tokens = _token_rows("query_tokens", query_tokens)
        self._key_tokens = (
            self._query_tokens if key_tokens is None else _token_rows("key_tokens", key_tokens)
        )

    def tokens_of(
        self, call: AttentionCall, batch: int = 0
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Labels for the queries and the keys of one call.

        A self-attention call takes both from the one token row that fits (an encoder's calls
        from `key_tokens`); a cached decoding step from that row's part it is about. Where no
        row fits, or two different rows fit equally well, the labels are positions
        ("0", "1", …): a position is never wrong.
        """
        query_row = self._query_tokens[batch] if batch < len(self._query_tokens) else ()
        key_row = self._key_tokens[batch] if batch < len(self._key_tokens) else ()
        if call.kind == "self":
            fitting = {row for row in (query_row, key_row) if _covers(row, call)}
            if len(fitting) == 1:
                row = fitting.pop()
                return row[call.q_offset :][: call.query_len], row[: call.key_len]
            if fitting:
                return _positions(call.query_len), _positions(call.key_len)
        return (
            query_row if len(query_row) == call.query_len else _positions(call.query_len),
            key_row if len(key_row) == call.key_len else _positions(call.key_len),
        )

    def select(self, layers: Layers | None = None, heads: Numbers | None = None) -> Trace:
        """Return a part of the trace, in which layers and heads keep their names and numbers.

        Each chosen head keeps the key and value head it reads.

        Parameters
        ----------
        layers : int, slice, iterable of int, or str, optional
            By number, or a pattern that names are matched with (``"*encoder*"``); all by default.
        heads : int, slice or iterable of int, optional
            By number, the same ones in every chosen layer; all by default.

        Raises
        ------
        ValueError
            If a layer or head does not exist, or none is chosen.

        Examples
        --------
        >>> import numpy as np
        >>> arrays = {name: np.zeros((1, 4, 3, 2), np.float32) for name in ("query", "key")}
        >>> trace = Trace([AttentionCall(f"layer.{i}", i, **arrays) for i in range(6)])
        >>> part = trace.select(layers=[3, 5], heads=1)
        >>> part.layers, part.layer_numbers, part.head_numbers(part.calls[0])
        (('layer.3', 'layer.5'), (3, 5), (1,))
        """
        from attnpanel.trace_choice import choose

        return choose(self, layers, heads)

    def explore(self, **choices: Any) -> Explorer:
        """Show the trace: the explorer for a notebook cell or a page of one's own.

        Parameters are the choices of :class:`attnpanel.Explorer`, e.g. ``layer=3, head=1``. Needs
        Panel and HoloViews, which load now.
        """
        from attnpanel.explorer import Explorer

        return Explorer(self, **choices)

    def analyze(self, batch: int = 0) -> pd.DataFrame:
        """Numbers about every head, one row each: :func:`attnpanel.analysis.analyze`.

        Needs pandas, which Panel brings and which loads now.
        """
        from attnpanel.analysis import analyze

        return analyze(self, batch)

    def report(self, path: str | PathLike[str], **options: Any) -> Path:
        """Write the explorer of this trace as one offline HTML file.

        The options are those of :func:`attnpanel.save_report`. Needs Panel and HoloViews, which
        load now.

        Returns
        -------
        Path
            The file.
        """
        from attnpanel.report import save_report

        return save_report(self, path, **options)

    def save(self, path: str | PathLike[str], *, tokens: bool = True) -> None:
        """Write the trace as one safetensors file (schema ``attnpanel.trace/1``).

        The file appears whole or not at all: an older file stays as it was until the new one
        is complete on disk.

        Parameters
        ----------
        path : path
            Written to; the folder must exist.
        tokens : bool, optional
            False leaves the token texts out, so a private prompt stays private.

        Raises
        ------
        TraceFileError
            If the trace breaks a rule that :meth:`load` checks, non-finite inputs included.
        """
        from attnpanel.trace_file import save_trace

        save_trace(self, path, tokens=tokens)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Trace:
        """Read a trace file, checking it as hostile: sizes and shapes before any data.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        TraceFileError
            If it is not a readable trace. Nothing in it is ever executed.
        """
        from attnpanel.trace_file import load_trace

        return load_trace(path)

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "upload") -> Trace:
        """Read the content of a trace file, as from an upload; `name` appears in errors."""
        from attnpanel.trace_file import parse_trace

        return parse_trace(data, name)


def _covers(row: tuple[str, ...], call: AttentionCall) -> bool:
    if call.q_offset:
        return call.q_offset + call.query_len == call.key_len <= len(row)
    return len(row) == call.query_len == call.key_len


def _positions(length: int) -> tuple[str, ...]:
    return tuple(map(str, range(length)))


def _token_rows(name: str, rows: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    if isinstance(rows, str) or any(isinstance(row, str) for row in rows):
        raise ValueError(f"{name} must hold one sequence of tokens per batch entry; got text")
    checked = tuple(tuple(row) for row in rows)
    for b, row in enumerate(checked):
        for t, token in enumerate(row):
            check_text(f"{name}[{b}][{t}]", token)
    return checked


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
