"""Variants of attention as a table: what each caches, who sees whom, and what that costs.

A variant is a layout of heads (which keys and values exist) under a rule of visibility (who sees
whom). Every count is an expression in the language of mask rules
(:mod:`attnpanel.attention.mask_rules`), written once: :mod:`attnpanel.pages.variants.price`
evaluates it in Python, the page in JavaScript, and the page shows the same text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from attnpanel.attention.mask_table import WINDOW, MaskKind, MaskParameter, MaskValue, find_mask


@dataclass(frozen=True)
class Size:
    """A number that prices depend on.

    Attributes
    ----------
    name : str
        Its name in formulas and in links.
    label, description : str
    low, high : int
        What a reader may enter.
    """

    name: str
    label: str
    description: str
    low: int
    high: int


@dataclass(frozen=True)
class Layout:
    """Which queries, keys and values exist.

    Attributes
    ----------
    name, label, description, source : str
    counts : dict of str to str
        Expressions of the sizes. ``cached``: elements that a token leaves in the cache, a layer.
        ``macs`` and ``decode_macs``: multiply-adds of a visible pair of query and key, all heads.
        ``ends`` and ``decode_ends``: elements of query and output of a token. ``keys``: elements of
        key and value of a token, as a prefill reads them. ``weights``: elements of the projections
        of a layer, without biases.
    """

    name: str
    label: str
    description: str
    source: str
    counts: dict[str, str]


@dataclass(frozen=True)
class Visibility:
    """Who sees whom.

    Attributes
    ----------
    name, label, description, source : str
    rule : MaskKind
        The mask, for the example.
    counts : dict of str to str
        Expressions of the sizes. ``seen``: how many keys the last of `length` queries sees, which
        is what the cache must hold. ``pairs``: visible pairs of query and key in `length` tokens.
    example : dict of str to int or tuple of int
        The rule's parameters in the example.
    sink : float or None
        The score of a sink in the example.
    """

    name: str
    label: str
    description: str
    source: str
    rule: MaskKind
    counts: dict[str, str]
    example: dict[str, MaskValue] = field(default_factory=dict)
    sink: float | None = None


@dataclass(frozen=True)
class Quantity:
    """One price, an expression of sizes, counts and earlier prices.

    Attributes
    ----------
    name, label : str
    unit : {"B", "FLOP"}
    formula : str
    """

    name: str
    label: str
    unit: str
    formula: str


MOST_TOKENS = 2**24
SIZES: tuple[Size, ...] = (
    Size("length", "Length", "Tokens of the prompt, then in the cache.", 1, MOST_TOKENS),
    Size("batch", "Batch", "Sequences at a time.", 1, 2**16),
    Size("bytes", "Bytes per element", "1, 2 or 4: of cache, activations and weights.", 1, 4),
    Size("layers", "Layers", "Layers with attention.", 1, 1000),
    Size("d_model", "Model width", "Channels of a token between layers.", 1, 2**17),
    Size("heads", "Query heads", "Query heads of a layer.", 1, 1024),
    Size("kv_heads", "KV heads, grouped", "Key/value heads of grouped-query attention.", 1, 1024),
    Size("head_dim", "Head dimension", "Channels of a head's query, key and value.", 1, 1024),
    Size("latent", "Latent dimension", "Channels of the cached latent vector.", 1, 2**14),
    Size("rope", "RoPE dimension", "Channels of latent attention's positional key.", 0, 1024),
    Size("q_latent", "Query latent", "Channels of the queries' latent vector; 0: none.", 0, 2**14),
    Size("window", "Window", "Keys that a query sees, itself included.", 1, MOST_TOKENS),
    Size("kept", "First tokens kept", "Leading tokens that stay visible.", 0, MOST_TOKENS),
    Size("prefix", "Prefix length", "Leading tokens that every query sees.", 0, MOST_TOKENS),
    Size("document", "Document length", "Tokens of each document but the last.", 1, MOST_TOKENS),
)  # fmt: skip
KEPT = MaskParameter("kept", "First tokens kept", "Tokens that stay visible.", address="kept")

LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "multi",
        "Multi-head",
        "Every head has a query, a key and a value of its own.",
        "Vaswani et al., 2017 (arXiv 1706.03762)",
        {
            "cached": "2 * heads * head_dim",
            "macs": "heads * 2 * head_dim",
            "decode_macs": "heads * 2 * head_dim",
            "ends": "2 * heads * head_dim",
            "decode_ends": "2 * heads * head_dim",
            "keys": "2 * heads * head_dim",
            "weights": "4 * d_model * heads * head_dim",
        },
    ),
    Layout(
        "grouped",
        "Grouped-query",
        "A group of query heads shares one key and one value.",
        "Ainslie et al., 2023 (arXiv 2305.13245)",
        {
            "cached": "2 * kv_heads * head_dim",
            "macs": "heads * 2 * head_dim",
            "decode_macs": "heads * 2 * head_dim",
            "ends": "2 * heads * head_dim",
            "decode_ends": "2 * heads * head_dim",
            "keys": "2 * kv_heads * head_dim",
            "weights": "2 * d_model * (heads + kv_heads) * head_dim",
        },
    ),
    Layout(
        "single",
        "Multi-query",
        "All query heads share one key and one value.",
        "Shazeer, 2019 (arXiv 1911.02150)",
        {
            "cached": "2 * head_dim",
            "macs": "heads * 2 * head_dim",
            "decode_macs": "heads * 2 * head_dim",
            "ends": "2 * heads * head_dim",
            "decode_ends": "2 * heads * head_dim",
            "keys": "2 * head_dim",
            "weights": "2 * d_model * (heads + 1) * head_dim",
        },
    ),
    Layout(
        "latent",
        "Latent (MLA)",
        "One latent vector a token is cached. All keys and values are made from it; when decoding, "
        "queries meet it directly.",
        "DeepSeek-V2, 2024 (arXiv 2405.04434)",
        {
            "cached": "latent + rope",
            "macs": "heads * (2 * head_dim + rope)",
            "decode_macs": "heads * (2 * latent + rope)",
            "ends": "heads * (2 * head_dim + rope)",
            "decode_ends": "heads * (2 * latent + rope)",
            "keys": "2 * heads * head_dim + rope",
            "weights": "(d_model * q_latent + q_latent * heads * (head_dim + rope) if q_latent > 0 "
            "else d_model * heads * (head_dim + rope)) + d_model * (latent + rope) "
            "+ 2 * latent * heads * head_dim + d_model * heads * head_dim",
        },
    ),
)

_CAUSAL_PAIRS = "length * (length + 1) // 2"


def _pairs_within(seen: str) -> str:
    """Return the visible pairs where a query sees itself and what is before it, up to a number."""
    return f"{seen} * length - {seen} * ({seen} - 1) // 2"


VISIBILITIES: tuple[Visibility, ...] = (
    Visibility(
        "causal",
        "Causal",
        "A token sees itself and everything before it.",
        "Vaswani et al., 2017 (arXiv 1706.03762)",
        find_mask("causal"),
        {"seen": "length", "pairs": _CAUSAL_PAIRS},
    ),
    Visibility(
        "window",
        "Sliding window",
        "A token sees itself and the last few tokens; older keys leave the cache.",
        "Mistral 7B, 2023 (arXiv 2310.06825)",
        MaskKind(
            "causal_window", "window", "", (WINDOW,), first="p - window + 1", stop="p + 1"
        ),
        {"seen": "min(length, window)", "pairs": _pairs_within("min(length, window)")},
        {"window": 3},
    ),
    Visibility(
        "kept",
        "Window + first tokens",
        "A sliding window that never lets go of the first tokens, on which most heads rest.",
        "StreamingLLM, 2023 (arXiv 2309.17453)",
        MaskKind(
            "kept_window",
            "window and first tokens",
            "",
            (WINDOW, KEPT),
            stop="p + 1",
            only="j < kept or j > p - window",
        ),
        {
            "seen": "min(length, kept + window)",
            "pairs": _pairs_within("min(length, kept + window)"),
        },
        {"window": 2, "kept": 1},
    ),
    Visibility(
        "sinks",
        "Sinks",
        "Causal, and a learned score a head takes weight without a value: one number a head. "
        "Here it is 0.",
        "gpt-oss, 2025 (arXiv 2508.10925)",
        find_mask("causal"),
        {"seen": "length", "pairs": _CAUSAL_PAIRS},
        sink=0.0,
    ),
    Visibility(
        "prefix",
        "Prefix LM",
        "Every token sees the whole prefix; after it, attention is causal.",
        "T5, 2019 (arXiv 1910.10683)",
        find_mask("prefix"),
        {
            "seen": "length",
            "pairs": f"{_CAUSAL_PAIRS} + min(length, prefix) * (min(length, prefix) - 1) // 2",
        },
        {"prefix_len": 3},
    ),
    Visibility(
        "documents",
        "Documents",
        "Several in one sequence: a token sees what came before in its own. The cache holds the "
        "last one.",
        "Llama 3, 2024 (arXiv 2407.21783)",
        find_mask("causal_documents"),
        {
            "seen": "(length - 1) % document + 1",
            "pairs": "length // document * (document * (document + 1) // 2) "
            "+ length % document * (length % document + 1) // 2",
        },
        {"starts": (4,)},
    ),
)  # fmt: skip

# `projections` is 1 if what makes queries, keys and values, and the output, is counted too.
QUANTITIES: tuple[Quantity, ...] = (
    Quantity("cache_per_token", "KV cache a token", "B", "cached * bytes * layers"),
    Quantity("cache", "KV cache", "B", "cached * seen * batch * bytes * layers"),
    Quantity(
        "prefill_flops",
        "Prefill FLOPs",
        "FLOP",
        "2 * (macs * pairs + projections * weights * length) * batch * layers",
    ),
    Quantity(
        "prefill_bytes",
        "Prefill bytes moved, at least",
        "B",
        "((ends + keys) * length * batch "
        "+ projections * (weights + (2 * d_model + ends + cached) * length * batch)) "
        "* bytes * layers",
    ),
    Quantity(
        "decode_flops",
        "Decode FLOPs",
        "FLOP",
        "2 * (decode_macs * seen + projections * weights) * batch * layers",
    ),
    Quantity(
        "decode_bytes",
        "Decode bytes moved, at least",
        "B",
        "((decode_ends + cached * seen) * batch "
        "+ projections * (weights + (2 * d_model + ends + cached) * batch)) * bytes * layers",
    ),
)
