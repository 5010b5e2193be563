"""A trace in the types of other libraries: pandas, xarray, HoloViews, matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

import numpy as np

from attnpanel.trace.indices import several_indices

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import xarray as xr

    from attnpanel import HeadFigure, TraceElements
    from attnpanel.trace.call import AttentionCall
    from attnpanel.trace.trace import Trace

Quantity = Literal["weights", "scores"]
# Of an export, unless the caller allows more: a copy beside which the program still runs.
MAX_BYTES: Final = 2_000_000_000
# Bytes of a row of a table: eight columns of eight.
ROW_BYTES: Final = 64
DIMENSIONS: Final = ("batch", "head", "query", "key")


class Exports:
    """Methods of :class:`attnpanel.Trace` that hand it to other libraries."""

    def figure(
        self, layer: int | str | tuple[str, int] = 0, head: int | None = 0, **options: Any
    ) -> HeadFigure:
        """Return a head as a figure for a paper, to save as SVG, PDF or PNG.

        The options are those of :func:`attnpanel.head_figure`, such as ``width="column"`` and
        ``kind="steps"``. Needs matplotlib, the extra ``figures``, and no browser.
        """
        from attnpanel import head_figure

        return head_figure(cast("Trace", self), layer, head, **options)

    def to_xarray(
        self, quantity: Quantity = "weights", *, max_bytes: int = MAX_BYTES
    ) -> xr.Dataset:
        """Return every head's weights or scores as an xarray.Dataset, a variable a call.

        Needs xarray, which nothing here brings: ``pip install xarray``.

        Parameters
        ----------
        quantity : {"weights", "scores"}
            Weights after the model's mask, which sum to 1; or scores before it, NaN where a
            query may not attend.
        max_bytes : int, optional
            Raise before making a larger copy.

        Returns
        -------
        xarray.Dataset
            Float32 variables over ``batch``, ``head``, ``query`` and ``key``, named by the layer,
            and ``"name (pass 2)"`` from a layer's second call on. Coordinates ``query_token`` and
            ``key_token`` over ``batch`` and the position.

        Raises
        ------
        ImportError
            If xarray is not installed.
        ValueError
            If the calls differ in batch, heads, lengths or tokens, as a decoder's own and its
            cross attention do: slice the trace. Or if the copy would exceed `max_bytes`.
        """
        try:
            import xarray as xr
        except ImportError as error:
            raise ImportError("to_xarray() needs xarray: pip install xarray") from error
        _check_quantity(quantity)
        trace = cast("Trace", self)
        shapes = dict.fromkeys(_shape(call) for call in trace.calls)
        if len(shapes) != 1:
            raise ValueError(
                "calls must agree in (batch, heads, queries, keys) to share axes; got "
                f"{', '.join(map(str, shapes)) or 'no call'}"
            )
        (shape,) = shapes
        _check_bytes(4 * len(trace.calls) * int(np.prod(shape)), max_bytes)
        tokens = {_tokens(trace, call) for call in trace.calls}
        if len(tokens) != 1:
            raise ValueError(f"calls must agree in tokens to share axes; got {len(tokens)} rows")
        (rows,) = tokens
        coordinates = {
            f"{axis}_token": (("batch", axis), [list(row[side]) for row in rows])
            for side, axis in enumerate(("query", "key"))
        }
        variables = {
            name: (DIMENSIONS, _all_heads(call, quantity))
            for name, call in zip(_names(trace), trace.calls, strict=True)
        }
        about = {"quantity": quantity, "source": trace.source, "model": trace.model}
        return xr.Dataset(variables, coordinates, about)

    def to_dataframe(
        self,
        *,
        layers: Iterable[int] | None = None,
        heads: Iterable[int] | None = None,
        batch: int = 0,
        max_bytes: int = MAX_BYTES,
    ) -> pd.DataFrame:
        """Return a table with a row for each pair of a query and a key that it may attend to.

        Parameters
        ----------
        layers, heads : iterable of int, optional
            Positions of calls and numbers of heads, from 0; all by default.
        batch : int, optional
            Which sequence.
        max_bytes : int, optional
            Raise before making a larger table.

        Returns
        -------
        pandas.DataFrame
            ``call`` (position in the trace), ``layer`` (its name), ``head``, ``query``, ``key``,
            ``query_token``, ``key_token``, ``score`` (NaN where only weights were recorded) and
            ``weight``.

        Raises
        ------
        ValueError
            If a call, head or sequence does not exist, or the table would exceed `max_bytes`.
        """
        import pandas as pd

        trace = cast("Trace", self)
        chosen = range(len(trace.calls)) if layers is None else layers
        calls = [(i, trace.calls[i]) for i in several_indices("layer", chosen, len(trace.calls))]
        picked = {
            i: several_indices("head", range(call.heads) if heads is None else heads, call.heads)
            for i, call in calls
        }
        pairs = sum(len(picked[i]) * call.query_len * call.key_len for i, call in calls)
        _check_bytes(ROW_BYTES * pairs, max_bytes)
        parts = [
            _rows(trace, position, call, head, batch)
            for position, call in calls
            for head in picked[position]
        ]
        return pd.concat(parts, ignore_index=True)

    @property
    def hv(self) -> TraceElements:
        """HoloViews elements of this trace's heads: ``trace.hv.heatmap(layer=0, head=2)``.

        See :class:`attnpanel.TraceElements`. Imports HoloViews, in about a second.
        """
        from attnpanel import TraceElements

        return TraceElements(cast("Trace", self))


def _check_quantity(quantity: str) -> None:
    if quantity not in get_args(Quantity):
        raise ValueError(f"quantity must be one of {get_args(Quantity)}; got {quantity!r}")


def _check_bytes(needed: int, most: int) -> None:
    if needed > most:
        raise ValueError(
            f"the copy must have at most max_bytes={most:,} bytes; it would have {needed:,}: "
            "select layers or heads, as by Trace.select()"
        )


def _shape(call: AttentionCall) -> tuple[int, int, int, int]:
    return call.batch, call.heads, call.query_len, call.key_len


def matrix(call: AttentionCall, head: int, batch: int, quantity: Quantity) -> Any:
    """Return one head's weights, or its scores with NaN where a query may not attend, (T, S)."""
    _check_quantity(quantity)
    if quantity == "weights":
        return call.weights(head, batch)
    return np.where(call.visible(head, batch), call.scores(head, batch), np.float32(np.nan))


def _all_heads(call: AttentionCall, quantity: Quantity) -> Any:
    if quantity == "weights":
        return call.weights()
    return np.stack(
        [
            np.stack([matrix(call, head, batch, quantity) for head in range(call.heads)])
            for batch in range(call.batch)
        ]
    )


def _names(trace: Trace) -> list[str]:
    """Return a name a call: that of its layer, numbered where a layer ran several times."""
    seen: dict[str, int] = {}
    names = []
    for call in trace.calls:
        seen[call.layer] = seen.get(call.layer, 0) + 1
        again = seen[call.layer] > 1
        names.append(f"{call.layer} (pass {seen[call.layer]})" if again else call.layer)
    return names


def _tokens(trace: Trace, call: AttentionCall) -> tuple[Any, ...]:
    """Return the query and key labels of each sequence."""
    return tuple(trace.tokens_of(call, batch=batch) for batch in range(call.batch))


def _rows(trace: Trace, position: int, call: AttentionCall, head: int, batch: int) -> pd.DataFrame:
    import pandas as pd

    query, key = np.nonzero(call.visible(head, batch))
    scored = call.query is not None and call.key is not None
    scores = call.scores(head, batch)[query, key] if scored else np.nan
    queries, keys = trace.tokens_of(call, batch=batch)
    return pd.DataFrame(
        {
            "call": position,
            "layer": call.layer,
            "head": head,
            "query": query,
            "key": key,
            "query_token": np.asarray(queries, object)[query],
            "key_token": np.asarray(keys, object)[key],
            "score": scores,
            "weight": call.weights(head, batch)[query, key],
        }
    )
