"""Traces of arrays that somebody has: weights, or queries and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.trace.call import Causal
    from attnpanel.trace.from_arrays import Layout
    from attnpanel.trace.rotary import Rotary
    from attnpanel.trace.trace import Trace


class Constructors:
    """Class methods of :class:`attnpanel.Trace` that make one of arrays."""

    @classmethod
    def from_weights(
        cls,
        attentions: Any,
        tokens: Any = (),
        *,
        key_tokens: Any = None,
        cross: Any = None,
        encoder: Any = None,
        layers: Sequence[str] | None = None,
        source: str = "weights",
        model: str = "",
    ) -> Trace:
        """Make a trace of attention weights that you have.

        Weights alone show which token attends to which; scores, another temperature, another mask
        and the mix need queries and keys (:meth:`from_qkv`, :func:`attnpanel.capture`).

        Parameters
        ----------
        attentions : array, sequence or mapping of arrays, or a transformers output
            Weights (B, H, T, S); (H, T, S) is one sequence, (T, S) one head. A sequence is one
            array a layer, as ``output_attentions=True`` gives; a mapping names the layers; five
            axes are (layers, B, H, T, S). Torch tensors of any dtype or device, NumPy or JAX
            arrays, nested lists. Layers that are None are left out. The output of a model or of
            ``model.generate(…, return_dict_in_generate=True)`` gives all its weights: the steps
            of a generation become one call a layer, of beam search one sequence a returned beam.
        tokens : sequence of str, or one such sequence per batch entry, optional
            The tokens of the queries, a decoder's beside an encoder's.
        key_tokens : the same, optional
            The tokens of the keys, where they differ: an encoder's. Without `cross` and `encoder`
            it makes `attentions` cross-attention.
        cross, encoder : as `attentions`, optional
            Cross-attention (B, H, T, S), and the encoder's own attention (B, H, S, S), beside the
            decoder's own in `attentions`.
        layers : sequence of str, optional
            Names of the layers, in order; by default ``"layer.0"``, …, beside cross-attention
            ``"encoder.layer.0"``, ``"decoder.layer.0"``, ``"decoder.layer.0.cross"``.
        source, model : str, optional
            As for :class:`Trace`.

        Returns
        -------
        Trace
            Its calls have `recorded_weights` in float16 if they were, else float32.

        Raises
        ------
        ValueError
            If no weights are given (with what to do), numbers are infinite, shapes disagree, or
            tokens are as many as neither queries nor keys; the message has both lengths.

        Warns
        -----
        UserWarning
            If a weight is negative or a row sums to more than 1.

        Examples
        --------
        >>> import numpy as np
        >>> from attnpanel import Trace
        >>> trace = Trace.from_weights(np.full((1, 4, 2, 2), 0.5), ["a", "b"])
        >>> trace[0].weights(head=3)
        array([[0.5, 0.5],
               [0.5, 0.5]], dtype=float32)
        """
        from attnpanel.trace.from_arrays import from_weights

        calls = from_weights(
            attentions,
            cross=cross,
            encoder=encoder,
            other_keys=key_tokens is not None,
            layers=layers,
        )
        # Trace is the one class with this base.
        trace: Trace = cls(calls, source=source, model=model)  # type: ignore[assignment, call-arg]
        trace.label(tokens, key_tokens)
        return trace

    @classmethod
    def from_qkv(
        cls,
        query: Any,
        key: Any,
        value: Any = None,
        tokens: Any = (),
        *,
        key_tokens: Any = None,
        mask: Any = None,
        bias: Any = None,
        causal: Causal = "none",
        scale: float | Sequence[float] | None = None,
        soft_cap: float | None = None,
        sinks: Any = None,
        rotary: Rotary | None = None,
        layout: Layout = "BHTD",
        layers: Sequence[str] | None = None,
        source: str = "qkv",
        model: str = "",
    ) -> Trace:
        """Make a trace of queries, keys and values, after rotary embedding and any norm.

        Weights are computed from them on request, under any temperature and mask.

        Parameters
        ----------
        query : array (B, H, T, D), or a sequence or mapping of them, one a layer
        key : the same (B, Hkv, S, D)
        value : the same (B, Hkv, S, Dv), optional
            Three axes are one sequence, five are layers. Torch tensors of any dtype or device,
            NumPy or JAX arrays.
        tokens, key_tokens, layers, source, model
            As for :meth:`from_weights`; `key_tokens` makes the calls cross-attention.
        mask : array broadcastable to (B, H, T, S), optional
            Bool, True = may attend; or numbers, added to the scores. A list has one a layer, as it
            has for `bias`, `scale` and `sinks`.
        bias, causal, scale, soft_cap, sinks, rotary
            As for :class:`attnpanel.AttentionCall`.
        layout : {"BHTD", "BTHD"}, optional
            The order of the axes; flash-attn's and xformers' is ``"BTHD"``.

        Raises
        ------
        ValueError
            If numbers of layers, shapes or lengths of tokens disagree, or a mask holds integers.

        Examples
        --------
        >>> import numpy as np
        >>> from attnpanel import Trace
        >>> query, key = np.zeros((2, 1, 4, 2, 8))
        >>> Trace.from_qkv(query, key, causal="top_left")[0].weights(head=-1)
        array([[1. , 0. ],
               [0.5, 0.5]], dtype=float32)
        """
        from attnpanel.trace.from_arrays import from_qkv

        calls = from_qkv(
            query,
            key,
            value,
            cross=key_tokens is not None,
            mask=mask,
            bias=bias,
            causal=causal,
            scale=scale,
            soft_cap=soft_cap,
            sinks=sinks,
            rotary=rotary,
            layout=layout,
            layers=layers,
        )
        # Trace is the one class with this base.
        trace: Trace = cls(calls, source=source, model=model)  # type: ignore[assignment, call-arg]
        trace.label(tokens, key_tokens)
        return trace
