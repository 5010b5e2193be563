"""TransformerLens' ActivationCache: queries, keys and values where they give the pattern.

``_, cache = model.run_with_cache(prompt)``, then
``import_trace(cache, model.to_str_tokens(prompt))``. Its axes are (B, T, H, D), without B after
``remove_batch_dim()``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.as_numpy import as_floats
from attnpanel.trace.from_arrays import from_qkv, from_weights
from attnpanel.trace.trace import Trace

if TYPE_CHECKING:
    from attnpanel.trace.call import AttentionCall, Causal, Kind

HOOK = re.compile(r"^(?P<layer>.*(?:attn|attention))\.hook_(?P<name>pattern|q|k)$")
# Positions that enter attention beside query and key.
BIASED = ("alibi", "relative_positional_bias")
# Of float32 weights recomputed in another order; 16-bit caches are rounded before and after.
TOLERANCE = {"float32": 1e-4, "float16": 4e-3}


def is_cache(source: Any) -> bool:
    """Whether it has keys such as ``blocks.0.attn.hook_pattern``."""
    return bool(hasattr(source, "keys") and any(HOOK.match(str(key)) for key in source.keys()))  # noqa: SIM118 - an ActivationCache iterates over its tensors' names only in some versions


def read_cache(
    source: Any,
    tokens: Any = (),
    *,
    key_tokens: Any = None,
    causal: Causal | None = None,
    scale: float | None = None,
) -> Trace:
    """Make a trace of a cache.

    Where the cache has queries and keys (after rotation, if the model rotates them) and they give
    its pattern, the call is live; else it holds the pattern. A cache without patterns needs the
    model's rule: its `cfg`, or `causal` and `scale`.

    Raises
    ------
    ValueError
        If a layer has neither a pattern nor queries and keys, or a rule is missing.
    """
    matches = [match for key in source.keys() if (match := HOOK.match(str(key)))]  # noqa: SIM118 - as above
    layers = dict.fromkeys(match["layer"] for match in matches)
    cfg = getattr(getattr(source, "model", None), "cfg", None)
    calls: list[AttentionCall] = []
    for index, layer in enumerate(layers):
        call = _read_layer(source, layer, cfg, causal, scale)
        kind: Kind = "cross" if "cross" in layer else "self"
        calls.append(replace(call, layer=layer, index=index, kind=kind))
    trace = Trace(calls, source="transformerlens", model=str(getattr(cfg, "model_name", "") or ""))
    trace.label(tokens, key_tokens)
    return trace


def _read_layer(
    cache: Any, layer: str, cfg: Any, causal: Causal | None, scale: float | None
) -> AttentionCall:
    pattern = _get(cache, layer, "pattern")
    query, key = (_get(cache, layer, name) for name in ("q", "k"))
    if pattern is None and (query is None or key is None):
        raise ValueError(f"{layer} must have hook_pattern, or hook_q and hook_k; got neither")
    recorded = None if pattern is None else from_weights(as_floats("pattern", pattern))[0]
    if query is None or key is None:
        assert recorded is not None  # noqa: S101 - checked above
        return recorded
    rule = causal or _rule_of(cfg, pattern)
    if rule is None:
        raise ValueError(
            f"{layer} has queries and keys but no pattern and no cfg, so its mask is not known: "
            "pass causal='bottom_right' or causal='none'"
        )
    positions = getattr(cfg, "positional_embedding_type", None)
    if recorded is None and positions in BIASED:
        raise ValueError(
            f"{layer} must have hook_pattern: {positions} adds to the scores what the cache has not"
        )
    try:
        made = _live_call(cache, layer, cfg, rule, scale)
    except ValueError:  # axes of another model, or numbers beyond float32
        if recorded is None:
            raise
        return recorded
    return made if recorded is None or _agree(made, recorded) else recorded


def _live_call(
    cache: Any, layer: str, cfg: Any, rule: Causal, scale: float | None
) -> AttentionCall:
    scores = _get(cache, layer, "attn_scores")  # with -inf on what the mask hides
    hidden = scores is not None and np.isinf(as_floats("scores", scores)).any()
    return from_qkv(
        _first(cache, layer, "rot_q", "q"),
        _first(cache, layer, "rot_k", "k"),
        _get(cache, layer, "v"),
        mask=np.isfinite(as_floats("scores", scores)) if hidden else None,
        causal="none" if hidden else rule,
        scale=_scale_of(cfg) if scale is None else scale,
        soft_cap=_positive(getattr(cfg, "attn_scores_soft_cap", None)),
        layout="BTHD",
    )[0]


def _get(cache: Any, layer: str, name: str) -> Any:
    key = f"{layer}.hook_{name}"
    return cache[key] if key in cache.keys() else None  # noqa: SIM118 - as above


def _first(cache: Any, layer: str, *names: str) -> Any:
    return next((x for name in names if (x := _get(cache, layer, name)) is not None), None)


def _rule_of(cfg: Any, pattern: Any) -> Causal | None:
    direction = getattr(cfg, "attention_dir", None)
    if direction is not None:
        return "bottom_right" if direction == "causal" else "none"
    if pattern is None:
        return None
    weights = as_floats("pattern", pattern)
    T, S = weights.shape[-2:]  # noqa: N806 - the letters used everywhere
    later = ~np.tri(T, S, S - T, dtype=np.bool_)
    return "none" if weights[..., later].any() else "bottom_right"


def _scale_of(cfg: Any) -> float | None:
    if cfg is None or getattr(cfg, "attn_scale", None) is None:
        return None
    return 1 / float(cfg.attn_scale) if getattr(cfg, "use_attn_scale", True) else 1.0


def _positive(cap: Any) -> float | None:
    return float(cap) if isinstance(cap, int | float) and cap > 0 else None


def _agree(made: AttentionCall, recorded: AttentionCall) -> bool:
    assert made.query is not None  # noqa: S101 - made of queries
    assert recorded.recorded_weights is not None  # noqa: S101 - made of weights
    if made.weights().shape != recorded.recorded_weights.shape:
        return False
    narrow = np.float16 in (made.query.dtype, recorded.recorded_weights.dtype)
    tolerance = TOLERANCE["float16" if narrow else "float32"]
    difference = np.abs(made.weights() - recorded.weights())
    return bool(np.nanmax(difference) <= tolerance)
