"""Traces of what other tools hand out: a file and a row of :data:`IMPORTERS` each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnpanel.attention.validation import check_choice
from attnpanel.trace.importers import array_file, drawn_arrays, nnsight, transformerlens

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.trace.trace import Trace


@dataclass(frozen=True)
class Importer:
    """One kind of source.

    Attributes
    ----------
    name : str
        What `format` calls it.
    label : str
        What it is, for messages and documents.
    accepts : callable
        Whether a source is of this kind, from its type and keys alone. False if only the caller
        can tell.
    read : callable
        ``read(source, tokens, **options) -> Trace``.
    """

    name: str
    label: str
    accepts: Callable[[Any], bool]
    read: Callable[..., Trace]


IMPORTERS: tuple[Importer, ...] = (
    Importer("npz", "an npz file, its path or its content", array_file.is_npz, array_file.read_npz),
    Importer(
        "safetensors",
        "a safetensors file, its path or its content",
        array_file.is_safetensors,
        array_file.read_safetensors,
    ),
    Importer(
        "transformerlens",
        "TransformerLens' ActivationCache",
        transformerlens.is_cache,
        transformerlens.read_cache,
    ),
    Importer("nnsight", "saved outputs of nnsight", nnsight.is_saved, nnsight.read_saved),
    Importer(
        "inspectus",
        "arrays as Inspectus takes them",
        drawn_arrays.only_the_caller_knows,
        drawn_arrays.read_inspectus,
    ),
    Importer(
        "circuitsvis",
        "arrays as CircuitsVis takes them",
        drawn_arrays.only_the_caller_knows,
        drawn_arrays.read_circuitsvis,
    ),
)


def import_trace(source: Any, tokens: Any = (), *, format: str = "auto", **options: Any) -> Trace:  # noqa: A002 - as in pandas and NumPy
    """Make a trace of what another tool handed out.

    Parameters
    ----------
    source : path, bytes, mapping or array
        An ``.npz`` or ``.safetensors`` file with the keys of docs/importing.md, a TransformerLens
        ActivationCache, outputs saved by nnsight, or arrays as Inspectus or CircuitsVis take them.
    tokens : sequence of str, or one such sequence per batch entry, optional
        As for :meth:`Trace.from_weights`; by default the file's own.
    format : str, optional
        The name of a row of ``IMPORTERS``; ``"auto"`` tells files, caches and saved outputs apart.
    **options
        Of the importer: ``causal`` and ``scale`` of a cache without patterns, ``key_tokens``.

    Returns
    -------
    Trace

    Raises
    ------
    ValueError
        If the source is of no kind that is known, or breaks a rule of its kind.

    Examples
    --------
    >>> import numpy as np
    >>> trace = import_trace(np.full((4, 2, 2), 0.5), ["a", "b"], format="circuitsvis")
    >>> trace[0].heads
    4
    """
    check_choice("format", format, ("auto", *(row.name for row in IMPORTERS)))
    auto = format == "auto"
    fitting = [row for row in IMPORTERS if (row.accepts(source) if auto else row.name == format)]
    if not fitting:
        known = ", ".join(f"{row.name} ({row.label})" for row in IMPORTERS)
        raise ValueError(
            f"source must be of a kind that its type tells, or format must name one: {known}; got "
            f"{type(source).__name__}. Plain weights are Trace.from_weights(attentions, tokens)"
        )
    return fitting[0].read(source, tokens, **options)
