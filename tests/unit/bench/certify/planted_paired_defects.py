"""Wrong attentions of two sizes or options together that only `paired_cases.py` has.

As in :mod:`tests.unit.bench.certify.planted_defects`, each with the cases that could find it.
"""

from tests.unit.bench.certify.planted_defects import given
from tests.unit.bench.certify.planted_varied_defects import grouped, without_last_value


def documents_of(request):
    return 1 + len(dict(request.mask_options).get("starts", ()))


# The last value is lost.
PAIRS = {
    "several key heads in groups, T > 256": lambda r: (
        grouped(r) and r.kv_heads > 1 and r.query_len > 256
    ),
    "causal squares of groups of several key heads, T > 256": lambda r: (
        grouped(r) and r.kv_heads > 1 and r.query_len > 256 and r.mask == "causal"
        and r.query_len == r.key_len
    ),
    "several heads, T > 1024": lambda r: r.heads == r.kv_heads > 1 and r.query_len > 1024,
    "more than two sequences, T > 256": lambda r: r.batch > 2 and r.query_len > 256,
    "more than eight heads, T > 256": lambda r: r.heads > 8 and r.query_len > 256,
    "more than eight heads, S > 512": lambda r: r.heads > 8 and r.key_len > 512,
    "several sequences and queries, S > 4096": lambda r: (
        r.batch > 1 and r.query_len > 1 and r.key_len > 4096
    ),
    "a temperature, T > 256": lambda r: r.temperature != 1 and r.query_len > 256,
    "a temperature, S > 4096": lambda r: r.temperature != 1 and r.key_len > 4096,
    "a negative scale, S > 4096": lambda r: r.score_scale < 0 and r.key_len > 4096,
    "a given scale, S > 4096": lambda r: r.scale is not None and r.key_len > 4096,
    "bias, T > 1024": lambda r: r.bias and r.query_len > 1024,
    "chunks of more than 256": lambda r: r.mask == "causal" and 256 < r.query_len < r.key_len,
    "more keys than 256 queries, no mask": lambda r: (
        r.mask == "none" and 256 < r.query_len < r.key_len
    ),
    "more queries than 256 keys": lambda r: r.query_len > r.key_len > 256,
    **{
        f"{kind}, T > 1024": lambda r, kind=kind: r.mask == kind and r.query_len > 1024
        for kind in ("prefix", "documents", "causal_documents", "padding")
    },
    **{
        f"D {width}, T > 256": lambda r, width=width: r.head_dim == width and r.query_len > 256
        for width in (32, 80, 96, 192)
    },
    **{
        f"D {width}, S > 4096": lambda r, width=width: r.head_dim == width and r.key_len > 4096
        for width in (32, 80, 96, 192, 256)
    },
    "D 112, S > 128": lambda r: r.head_dim == 112 and r.key_len > 128,
    "D 32, squares": lambda r: r.head_dim == 32 and r.query_len == r.key_len,
    "D > 256, S > 256": lambda r: r.head_dim > 256 and r.key_len > 256,
    "D no multiple of 8, S > 1024": lambda r: r.head_dim % 8 and r.key_len > 1024,
    "Dv other than D, T > 256": lambda r: r.value_dim != r.head_dim and r.query_len > 256,
    "Dv other than D, S > 4096": lambda r: r.value_dim != r.head_dim and r.key_len > 4096,
    "as many sequences as queries": lambda r: r.batch == r.query_len > 1,
    "as many sequences as keys": lambda r: r.batch == r.key_len > 1,
    "more than eight documents": lambda r: documents_of(r) > 8,
    "more than 32 documents": lambda r: documents_of(r) > 32,
    "float64, D 128, T > 65": lambda r: (
        r.dtype == "float64" and r.head_dim == 128 and r.query_len > 65
    ),
}  # fmt: skip

PAIRED = {name: given(when, value=without_last_value) for name, when in PAIRS.items()}
