"""HoloViews elements of a trace's heads, for one's own layouts: `trace.hv`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv

from attnpanel.trace.exports import matrix

if TYPE_CHECKING:
    from attnpanel.trace.call import AttentionCall
    from attnpanel.trace.exports import Quantity
    from attnpanel.trace.trace import Trace

# More tick labels than these are unreadable; HoloViews numbers the axis instead.
MOST_LABELS = 40
LABEL_LETTERS = 24


class TraceElements:
    """Make HoloViews elements of a trace's heads; they compose by ``+``, ``*`` and ``.opts``.

    Each is a plain element with options of the Bokeh backend. Call ``hv.extension("bokeh")`` as for
    any element.

    Parameters
    ----------
    trace : Trace
        `trace.hv` makes one of these.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def heatmap(
        self,
        layer: int | str | tuple[str, int] = 0,
        head: int = 0,
        batch: int = 0,
        *,
        quantity: Quantity = "weights",
    ) -> hv.Image:
        """Return a head as an image: queries from top to bottom, keys from left to right.

        Parameters
        ----------
        layer : int, str or (str, int)
            A call as ``trace[layer]`` finds it.
        head, batch : int, optional
            From 0; -1 is the last.
        quantity : {"weights", "scores"}
            Weights, or scores with NaN, which is not drawn, where a query may not attend.

        Returns
        -------
        holoviews.Image
            Over ``key`` and ``query``, in positions, with tokens as tick labels up to 40.

        Raises
        ------
        KeyError, IndexError
            If the trace has no such call.
        ValueError
            If the call has no such head or sequence, or scores are asked of recorded weights.
        """
        call = self._trace[layer]
        values = matrix(call, head, batch, quantity)
        queries, keys = self._trace.tokens_of(call, batch=batch)
        bounds = (-0.5, -0.5, call.key_len - 0.5, call.query_len - 0.5)
        image = hv.Image(
            values[::-1],  # HoloViews takes the first row as that of the largest coordinate
            kdims=["key", "query"],
            vdims=[quantity.removesuffix("s")],
            bounds=bounds,
            label=_label(call, head),
        )
        return image.opts(
            cmap="Blues" if quantity == "weights" else "RdBu_r",
            symmetric=quantity == "scores",
            clim=(0.0, 1.0) if quantity == "weights" else (float("nan"), float("nan")),
            colorbar=True,
            invert_yaxis=True,
            tools=["hover"],
            xticks=_ticks(keys),
            yticks=_ticks(queries),
            xrotation=45,
            backend="bokeh",
        )

    def row(
        self,
        layer: int | str | tuple[str, int] = 0,
        head: int = 0,
        query: int = 0,
        batch: int = 0,
    ) -> hv.Bars:
        """Return the weights of one query as bars, a bar a key.

        Parameters
        ----------
        layer, head, batch
            As for :meth:`heatmap`.
        query : int
            Position of the query, from 0; -1 is the last.

        Returns
        -------
        holoviews.Bars
            Over ``key_token``, position and token in a word.

        Raises
        ------
        KeyError, IndexError
            If the trace has no such call or query.
        ValueError
            If the call has no such head or sequence.
        """
        call = self._trace[layer]
        weights = call.weights(head, batch)[query]
        queries, keys = self._trace.tokens_of(call, batch=batch)
        # Positions make equal tokens different bars.
        names = [f"{i} {_short(token)}" for i, token in enumerate(keys)]
        # Not the dimension of a heatmap's axis, which HoloViews would share between the two.
        label = f"{_label(call, head)}: {_short(queries[query])}"
        bars = hv.Bars((names, weights), "key_token", "weight", label=label)
        return bars.opts(ylim=(0, 1), xlabel="key", xrotation=45, tools=["hover"], backend="bokeh")


def _label(call: AttentionCall, head: int) -> str:
    return f"{call.layer}, head {head % call.heads}"


def _ticks(tokens: tuple[str, ...]) -> Any:
    if len(tokens) > MOST_LABELS:
        return None
    return [(i, _short(token)) for i, token in enumerate(tokens)]


def _short(token: str) -> str:
    return token if len(token) <= LABEL_LETTERS else f"{token[: LABEL_LETTERS - 1]}…"
