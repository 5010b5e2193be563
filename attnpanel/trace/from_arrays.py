"""Attention calls made of arrays that somebody has: weights, or queries and keys."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from attnpanel.attention.as_numpy import as_floats, as_numpy
from attnpanel.attention.validation import as_texts, check_choice
from attnpanel.trace.call import AttentionCall, Causal, Kind
from attnpanel.trace.generated_weights import is_stepwise, join_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.trace.rotary import Rotary

Layout = Literal["BHTD", "BTHD"]
# The fields of a transformers output that hold weights, and what they are here.
OUTPUT_FIELDS = {
    "encoder_attentions": "encoder",
    "attentions": "attentions",
    "decoder_attentions": "attentions",
    "cross_attentions": "cross",
}
# Weights in 16 bits are rounded to 2**-11 (float16) or 2**-8 (bfloat16) each; rows of them add up.
ROW_SUM_TOLERANCE = 0.02


def from_weights(
    attentions: Any,
    *,
    cross: Any = None,
    encoder: Any = None,
    other_keys: bool = False,
    layers: Sequence[str] | None = None,
) -> list[AttentionCall]:
    """Return calls of recorded weights; see :meth:`attnpanel.Trace.from_weights`."""
    groups = _groups(attentions, cross, encoder)
    beams = getattr(attentions, "beam_indices", None)
    beams = None if beams is None else as_numpy("beam_indices", beams)
    arrays = {name: _named_layers(name, value, beams) for name, value in groups.items()}
    if hasattr(attentions, "sequences"):  # of a generation, whose encoder ran once for each prompt
        arrays["encoder"] = [
            (layer, array[_prompts_of_sequences(attentions, beams, len(array))])
            for layer, array in arrays.pop("encoder", [])
        ]
    _check_batch(arrays)
    if not any(arrays.values()):
        raise ValueError(
            "attentions must hold at least one layer's weights (B, H, T, S); got none. Models of "
            "transformers return none unless they are loaded with attn_implementation='eager' and "
            "called with output_attentions=True; attnpanel.capture(model) needs neither"
        )
    both = bool(arrays.get("cross") or arrays.get("encoder"))
    named: list[tuple[str, Kind, NDArray[np.floating]]] = []
    for layer, array in arrays.get("encoder", []):
        named.append((f"encoder.{layer}", "self", array))
    decoder = dict(arrays.get("attentions", []))
    crosses = dict(arrays.get("cross", []))
    for layer in dict.fromkeys([*decoder, *crosses]):
        if layer in decoder:
            array = decoder[layer]
            prefix = _side(array, crosses) if both else ""
            named.append((prefix + layer, "cross" if other_keys and not both else "self", array))
        if layer in crosses:
            named.append((f"decoder.{layer}.cross", "cross", crosses[layer]))
    layers = None if layers is None else as_texts("layers", layers)
    if layers is not None and len(layers) != len(named):
        raise ValueError(f"layers must name each of {len(named)} layers; got {len(layers)} names")
    calls = []
    for index, (layer, kind, array) in enumerate(named):
        name = layer if layers is None else layers[index]
        _check_weights(name, array)
        T, S = array.shape[2:]  # noqa: N806 - the letters used everywhere
        calls.append(
            AttentionCall(
                name,
                index,
                kind,
                recorded_weights=array,
                q_offset=max(S - T, 0) if kind == "self" else 0,
            )
        )
    return calls


def from_qkv(
    query: Any,
    key: Any,
    value: Any,
    *,
    mask: Any = None,
    bias: Any = None,
    causal: Causal = "none",
    scale: float | Sequence[float] | None = None,
    soft_cap: float | None = None,
    sinks: Any = None,
    rotary: Rotary | None = None,
    layout: Layout = "BHTD",
    cross: bool = False,
    layers: Sequence[str] | None = None,
) -> list[AttentionCall]:
    """Return calls of queries and keys; see :meth:`attnpanel.Trace.from_qkv`."""
    check_choice("causal", causal, get_args(Causal))
    check_choice("layout", layout, get_args(Layout))
    queries = _each_layer("query", query)
    count = len(queries)
    keys, values = (
        [(name, None)] * count if array is None else _each_layer(name, array)
        for name, array in (("key", key), ("value", value))
    )
    if not len(queries) == len(keys) == len(values):
        raise ValueError(
            "query, key and value must have the same number of layers; got "
            f"{len(queries)}, {len(keys)} and {len(values)}"
        )
    named = [list(given) for given in (query, key, value) if isinstance(given, Mapping)]
    if any(names != named[0] for names in named):
        raise ValueError(f"query, key and value must name the same layers; got {named}")
    names = [name for name, _ in queries] if layers is None else as_texts("layers", layers)
    if len(names) != count:
        raise ValueError(f"layers must name each of {count} layers; got {len(names)} names")
    shared = {
        name: _for_each(name, given, count)
        for name, given in (("mask", mask), ("bias", bias), ("scale", scale), ("sinks", sinks))
    }
    calls = []
    for index, name in enumerate(names):
        arrays = {
            field: None if array is None else _four_axes(field, array, layout)
            for field, array in zip(
                ("query", "key", "value"),
                (queries[index][1], keys[index][1], values[index][1]),
                strict=True,
            )
        }
        fields: dict[str, Any] = dict(arrays)
        fields |= mask_and_bias(shared["mask"][index], shared["bias"][index])
        if shared["sinks"][index] is not None:
            fields["sinks"] = as_floats("sinks", shared["sinks"][index])
        if arrays["query"] is None or arrays["key"] is None:
            raise ValueError("query and key must be given together; got query alone")
        past = arrays["key"].shape[2] - arrays["query"].shape[2]
        calls.append(
            AttentionCall(
                name,
                index,
                "cross" if cross else "self",
                causal=causal,
                scale=shared["scale"][index],
                soft_cap=soft_cap,
                rotary=rotary,
                q_offset=max(past, 0) if not cross and causal != "top_left" else 0,
                **fields,
            )
        )
    return calls


def mask_and_bias(mask: Any, bias: Any) -> dict[str, NDArray[Any] | None]:
    """Return a mask and a bias as a call holds them; a mask of numbers is added to the scores.

    Raises
    ------
    ValueError
        If a mask of numbers and a bias are both given, or a mask holds integers: 1 is no bool,
        and in some libraries means "hidden".
    """
    given = None if bias is None else as_floats("bias", bias)
    if mask is None:
        return {"mask": None, "bias": given}
    array = as_numpy("mask", mask)
    if array.dtype == np.bool_:
        return {"mask": array, "bias": given}
    if array.dtype.kind != "f":
        raise ValueError(
            f"mask must be bool (True = may attend) or added to the scores; got {array.dtype}"
        )
    if given is not None:
        raise ValueError("mask must be bool where a bias is given; got both as numbers")
    return {"mask": None, "bias": as_floats("mask", array)}


def _groups(attentions: Any, cross: Any, encoder: Any) -> dict[str, Any]:
    """Return what was given by what it is: encoder's own, own, cross."""
    groups: dict[str, Any] = {}
    fields = {name: getattr(attentions, name, None) for name in OUTPUT_FIELDS}
    if any(value is not None for value in fields.values()):  # a transformers output
        for name, group in OUTPUT_FIELDS.items():
            if fields[name] is not None:
                groups[group] = fields[name]
    elif hasattr(attentions, "last_hidden_state") or hasattr(attentions, "logits"):
        pass
    elif attentions is not None:
        groups["attentions"] = attentions
    if cross is not None:
        groups["cross"] = cross
    if encoder is not None:
        groups["encoder"] = encoder
    return groups


def _named_layers(name: str, given: Any, beams: Any) -> list[tuple[str, NDArray[np.floating]]]:
    if is_stepwise(given):
        given = join_steps(name, given, beams, cross=name == "cross")
    layers = _each_layer(name, given)
    missing = [layer for layer, array in layers if array is None]
    if missing and len(missing) == len(layers):
        raise ValueError(
            f"{name} must hold weights; got None for each of {len(layers)} layers: the model was "
            "loaded with an attn_implementation that returns none. Load it with "
            "attn_implementation='eager', or record it as it is with attnpanel.capture(model)"
        )
    # Hybrid models give None for the layers without attention; the others keep their numbers.
    return [
        (layer, _as_batch(f"{name} of {layer}", array))
        for layer, array in layers
        if array is not None
    ]


def _check_batch(groups: dict[str, list[tuple[str, NDArray[np.floating]]]]) -> None:
    """Raise ValueError if an encoder, a decoder and what joins them are of other batches.

    Layers of a single kind may differ, as they do where they attend in windows.
    """
    sizes = {
        name: sorted({len(array) for _, array in layers})
        for name, layers in groups.items()
        if layers
    }
    if len(sizes) > 1 and len(set(map(tuple, sizes.values()))) > 1:
        found = ", ".join(f"{name} {', '.join(map(str, size))}" for name, size in sizes.items())
        raise ValueError(f"attentions, cross and encoder must have the same B; got {found}")


def _prompts_of_sequences(output: Any, beams: NDArray[Any] | None, batch: int) -> NDArray[Any]:
    """Return which of `batch` prompts each returned sequence continues."""
    fields = (getattr(output, name, None) for name in ("cross_attentions", "decoder_attentions"))
    steps = next(found for found in fields if found is not None)
    count = len(steps[0][0])
    first = np.arange(count) if beams is None else np.maximum(beams[:, 0], 0)
    rows: NDArray[Any] = first * batch // count
    return rows


def _each_layer(name: str, given: Any) -> list[tuple[str, Any]]:
    """Split what was given into layers, each with its name."""
    if isinstance(given, Mapping):
        return [(str(layer), array) for layer, array in given.items()]
    if isinstance(given, list | tuple) and (not given or not _is_number(given)):
        return [(f"layer.{i}", array) for i, array in enumerate(given)]
    nested = getattr(given, "is_nested", False)  # whose shape torch does not tell
    array = given if not nested and hasattr(given, "shape") else as_numpy(name, given)
    if len(array.shape) == 5:
        return [(f"layer.{i}", layer) for i, layer in enumerate(array)]
    return [("layer.0", array)]


def _is_number(given: Any) -> bool:
    """Whether nested lists end in numbers without an array on the way."""
    while isinstance(given, list | tuple) and len(given):
        given = given[0]
    return isinstance(given, int | float)


def _is_array(given: Any) -> bool:
    """Whether a list is of lists of numbers, as an array of several axes is written."""
    return _is_number(given) and isinstance(given[0], list | tuple)


def _as_batch(name: str, array: Any) -> NDArray[np.floating]:
    """Return weights as (B, H, T, S); (H, T, S) is one sequence, (T, S) one head of it."""
    numbers = as_floats(name, array)
    if not 2 <= numbers.ndim <= 4:
        raise ValueError(
            f"{name} must have axes (B, H, T, S), (H, T, S) or (T, S); got shape {numbers.shape}"
        )
    return numbers.reshape((1,) * (4 - numbers.ndim) + numbers.shape)


def _four_axes(name: str, array: Any, layout: Layout) -> NDArray[np.floating]:
    """Return an array as (B, H, T, D); one of three axes is one sequence."""
    numbers = as_floats(name, array)
    if numbers.ndim not in (3, 4):
        raise ValueError(f"{name} must have axes {layout} or {layout[1:]}; got {numbers.shape}")
    numbers = numbers.reshape((1,) * (4 - numbers.ndim) + numbers.shape)
    return numbers if layout == "BHTD" else numbers.transpose(0, 2, 1, 3)


def _for_each(name: str, given: Any, count: int) -> list[Any]:
    """Return one value a layer: a list has one for each, anything else serves all."""
    if not isinstance(given, list | tuple) or _is_array(given):
        return [given] * count
    if len(given) != count:
        raise ValueError(f"{name} must be one for all layers or {count}; got {len(given)}")
    return list(given)


def _side(array: NDArray[Any], crosses: Mapping[str, NDArray[Any]]) -> str:
    """Return the side of self-attention beside cross-attention, by its length."""
    if crosses:
        T, S = next(iter(crosses.values())).shape[2:]  # noqa: N806 - the letters used everywhere
        if array.shape[3] == S != T:
            return "encoder."
    return "decoder."


def _check_weights(layer: str, array: NDArray[np.floating]) -> None:
    """Refuse what cannot be weights, and warn of rows that do not sum to 1.

    A row of zeros or nan is a query that saw no key; one below 1 has a sink.
    """
    if np.isinf(array).any():
        raise ValueError(
            f"weights of {layer} must be finite or nan; got {array[np.isinf(array)][0]}: these "
            "are scores before the softmax"
        )
    sums = array.sum(axis=-1, dtype=np.float32)
    low, high = float(np.nanmin(array, initial=0)), float(np.nanmax(sums, initial=0))
    if low < 0 or high > 1 + ROW_SUM_TOLERANCE:
        warnings.warn(
            f"weights of {layer} should be at least 0 and sum to at most 1 in each row; got "
            f"{low:.3g} and a sum of {high:.3g}. They are shown as they are: scores before the "
            "softmax, or weights after dropout (call model.eval()), look like this",
            UserWarning,
            stacklevel=4,
        )
