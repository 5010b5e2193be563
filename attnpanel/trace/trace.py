"""A trace: attention calls in order, with their tokens.

A call stores the inputs of attention (query, key, value, mask, bias), not the (T, S) weights of
every head: those are computed on request, one head at a time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, overload

from attnpanel.attention.validation import check_text, check_time
from attnpanel.trace.call import AttentionCall, Causal, Kind
from attnpanel.trace.constructors import Constructors
from attnpanel.trace.exports import Exports
from attnpanel.trace.lookup import find_call
from attnpanel.trace.picture import with_picture
from attnpanel.trace.token_rows import check_token_lengths, checked_rows, labels_of, token_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from os import PathLike
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from attnpanel import Explorer
    from attnpanel.analysis import PairExplanation
    from attnpanel.trace.coverage import Coverage
    from attnpanel.trace.picture import Picture
    from attnpanel.trace.subset import Layers, Numbers, Subset
    from attnpanel.trace.token_origins import TokenOrigins

__all__ = ["AttentionCall", "Causal", "Kind", "Trace", "TraceFileError"]


class TraceFileError(ValueError):
    """A file is no readable trace; the message has the file, the rule and the value."""


class Trace(Constructors, Exports):
    """Attention calls in the order of the forward pass, and their tokens.

    Parameters
    ----------
    calls : iterable of AttentionCall, optional
    query_tokens : sequence of token sequences, optional
        The token strings of each batch entry: ``query_tokens[b][t]``.
    key_tokens : sequence of token sequences, optional
        The tokens of the keys, if they differ (cross-attention). None: those of the queries.
    source, model : str, optional
        Where the trace comes from, and which model made it; for readers, never interpreted.
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
    >>> len(trace), trace[-1] is call, trace["layer.0"] is call
    (1, True, True)
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
        # Set if this trace is a subset of another one.
        self.subset: Subset | None = None
        # Set by a capture: which attention layers it has recorded and left out.
        self.coverage: Coverage | None = None
        # The picture whose patches the tokens are, and where.
        self.picture: Picture | None = None
        # Set for a prompt: the text of each token, and the name or folder of its model, in no file.
        self.origins: TokenOrigins | None = None
        self.model_location = ""
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

    def _repr_html_(self) -> str:
        from attnpanel.analysis.html_summary import html_summary

        return html_summary(self)

    def __len__(self) -> int:
        """Return the number of calls."""
        return len(self._calls)

    def __bool__(self) -> bool:
        """Return True, as for any object: a capture's trace is empty until the model runs."""
        return True

    def __iter__(self) -> Iterator[AttentionCall]:
        """Iterate over the calls, in order."""
        return iter(self.calls)

    @overload
    def __getitem__(self, which: slice) -> Trace: ...

    @overload
    def __getitem__(self, which: int | str | tuple[str, int]) -> AttentionCall: ...

    def __getitem__(self, which: int | str | tuple[str, int] | slice) -> AttentionCall | Trace:
        """Return a call by position or layer name, or a part of the trace by a slice.

        ``trace[-1]`` is the last call. ``trace["encoder.layer.3"]`` is the call of that module, of
        the only one inside it, or the only one that a glob pattern matches. A module that ran
        several times (a layer shared by depths, as in ALBERT) needs the pass, from 0:
        ``trace["encoder.layer", 5]``. ``trace[2:5]`` is a :class:`Trace`, as :meth:`select` gives.

        Raises
        ------
        IndexError, KeyError
            If there is no such call, or the name is that of several; the message lists them.
        """
        if isinstance(which, slice):
            from attnpanel.trace.subset import part

            return part(self, which)
        return find_call(self.calls, which)

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
        """The number of each call: its index in the whole trace, if this is a subset of one."""
        return self.subset.layers if self.subset else tuple(range(len(self._calls)))

    def head_numbers(self, call: AttentionCall) -> tuple[int, ...]:
        """Return the number of each head: its index in the whole trace, if this is a subset."""
        known = self.subset.heads if self.subset else None
        return tuple(range(call.heads)) if known is None else known

    @property
    def query_tokens(self) -> tuple[tuple[str, ...], ...]:
        """``query_tokens[b][t]``; empty if the tokens are not known."""
        return self._query_tokens

    @property
    def key_tokens(self) -> tuple[tuple[str, ...], ...]:
        """``key_tokens[b][s]``; the query tokens if no others were given."""
        return self._key_tokens

    @property
    def head_importance(self) -> tuple[NDArray[np.floating], ...] | None:
        """How much the model's output depends on each head, one array of shape (H,) a call.

        None until :func:`attnpanel.head_importance` has measured it. Trace files and reports
        include it.
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
        if self.subset:
            raise ValueError("a subset of a trace takes no further call; add it to the whole trace")
        self._calls.append(call)
        self._head_importance = None  # it was measured for other calls

    def set_calls(self, calls: Iterable[AttentionCall]) -> None:
        """Replace the calls, as a capture does when it merges the steps of a generation."""
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
        self._query_tokens = checked_rows("query_tokens", query_tokens)
        self._key_tokens = (
            self._query_tokens if key_tokens is None else checked_rows("key_tokens", key_tokens)
        )

    def label(self, tokens: Any, key_tokens: Any = None) -> None:
        """Replace the tokens by those that a caller has; a flat list labels one sequence.

        Raises
        ------
        ValueError
            If they are no strings, or as many as neither queries nor keys of a call; the message
            has both lengths.
        """
        rows = token_rows("tokens", tokens, self._calls)
        key_rows = None if key_tokens is None else token_rows("key_tokens", key_tokens, self._calls)
        check_token_lengths(self._calls, rows, key_rows)
        self.set_tokens(rows, key_rows)

    def set_picture(
        self,
        image: Any,
        grid: tuple[int, int],
        *,
        start: int | None = None,
        names: Sequence[str] = (),
    ) -> None:
        """Say that the tokens are patches of a picture, or cells of a board, maze or map.

        Parameters
        ----------
        image : path, PIL image, array, tensor, a list with one a sequence, or None
            (H, W), (H, W, C) or (C, H, W); stored at most 320 pixels a side. None: a grid alone.
        grid : (rows, columns)
        start : int, optional
            Position of the first cell's token. By default the last tokens are the picture's.
        names : sequence of str, optional
            Of the tokens before them, such as ``["CLS", "register 1"]``.

        Raises
        ------
        ValueError
            If the tokens of no call fit the grid, or the image is none.
        """
        self.picture = with_picture(self._calls, image, grid, start=start, names=names)

    def tokens_of(
        self, call: AttentionCall, batch: int = 0
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return labels for the queries and the keys of one call.

        A self-attention call takes both from the one token row that fits (an encoder's calls
        from `key_tokens`); a cached decoding step takes its part of that row, and a layer's calls
        for one sequence after the other a row each. Of two different rows that both fit, a layer
        whose name has the part "encoder" takes the keys', one with "decoder" the queries'. If no
        row fits, or nothing tells which, the labels are positions ("0", "1", …): always correct.
        """
        return labels_of(self._calls, self._query_tokens, self._key_tokens, call, batch)

    def select(self, layers: Layers | None = None, heads: Numbers | None = None) -> Trace:
        """Return a subset of the trace, in which layers and heads keep their names and numbers.

        Each chosen head keeps its key and value head.

        Parameters
        ----------
        layers : int, slice, iterable of int, or str, optional
            By number, or a glob pattern for names (``"*encoder*"``); all by default.
        heads : int, slice or iterable of int, optional
            By number, the same in every chosen layer; all by default.

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
        from attnpanel.trace.subset import select

        return select(self, layers, heads)

    def explore(self, **choices: Any) -> Explorer:
        """Return an explorer of the trace, for a notebook cell or your own page.

        Parameters are the choices of :class:`attnpanel.Explorer`, such as ``layer=3, head=1``.
        Needs Panel and HoloViews, which are imported when this is called.
        """
        from attnpanel import Explorer

        return Explorer(self, **choices)

    def analyze(self, batch: int = 0, **options: Any) -> pd.DataFrame:
        """Return the metrics of every head, one row each: :func:`attnpanel.analysis.analyze`.

        Needs pandas, which Panel installs and which is imported when this is called.
        """
        from attnpanel.analysis import analyze

        return analyze(self, batch, **options)

    def explain(
        self, layer: int | str | tuple[str, int], head: int, query: Any, key: Any, **options: Any
    ) -> PairExplanation:
        """Return why a query looks at a key: :func:`attnpanel.analysis.explain`.

        Query and key are positions, or tokens that occur once.
        """
        from attnpanel.analysis import explain

        return explain(self, layer, head, query, key, **options)

    def report(self, path: str | PathLike[str], **options: Any) -> Path:
        """Write the explorer of this trace as one offline HTML file, and return its path.

        The options are those of :func:`attnpanel.save_report`. Needs Panel and HoloViews, which
        are imported when this is called.
        """
        from attnpanel import save_report

        return save_report(self, path, **options)

    def save(self, path: str | PathLike[str], *, tokens: bool = True) -> None:
        """Write the trace as one safetensors file (schema ``attnpanel.trace/1``).

        The write is atomic: an existing file is unchanged until the new one is complete on disk.

        Parameters
        ----------
        path : path
            The file to write; its folder must exist.
        tokens : bool, optional
            False omits token texts and images, so that a private prompt stays private.

        Raises
        ------
        TraceFileError
            If the trace breaks a rule that :meth:`load` checks, non-finite inputs included.
        """
        from attnpanel.trace.file_format import save_trace

        save_trace(self, path, tokens=tokens)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Trace:
        """Read an untrusted trace file: sizes and shapes are checked before any data is read.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        TraceFileError
            If it is not a readable trace. Nothing in it is ever executed.
        """
        from attnpanel.trace.file_format import load_trace

        return load_trace(path)

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "upload") -> Trace:
        """Read the content of a trace file, such as an upload; `name` appears in errors."""
        from attnpanel.trace.file_format import parse_trace

        return parse_trace(data, name)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
