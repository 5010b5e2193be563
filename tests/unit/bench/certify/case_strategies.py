"""Hypothesis strategies for small cases of every kind, and the size of a case."""

from hypothesis import strategies as st

from attnpanel.attention.mask_table import MASKS
from attnpanel.bench.certify.cases import Case
from attnpanel.kernels.request import Request
from tests.mask_values import mask_values

lengths = st.integers(1, 9)


def size(case):
    """The multiplications of one call of a case."""
    request = case.request
    cells = request.batch * request.heads * request.query_len * request.key_len
    return cells * (request.head_dim + request.value_dim)


@st.composite
def cases(draw, dtypes=("float64", "float32", "float16", "bfloat16")):
    """Draw a case with any mask, shape, dtype, temperature and kind; rows may be empty."""
    row = draw(st.sampled_from(MASKS))
    batch, kv_heads, query_len = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(lengths)
    key_len = draw(st.just(query_len) | lengths | st.integers(30, 40))
    dtype = draw(st.sampled_from(dtypes))
    head_dim = draw(lengths | st.sampled_from([16, 64, 128]))
    entries = [draw(mask_values(row, query_len, key_len)) for _ in range(batch)]
    options = {name: entries[0][name] for name in row.needs}
    pad_lens = tuple(one["pad_len"] for one in entries) if "pad_len" in row.needs else None
    options.pop("pad_len", None)
    request = Request(
        batch=batch,
        heads=kv_heads * draw(st.integers(1, 3)),
        kv_heads=kv_heads,
        query_len=query_len,
        key_len=key_len,
        head_dim=head_dim,
        value_dim=draw(st.just(head_dim) | lengths),
        dtype=dtype,
        mask=row.kind,
        align=draw(st.sampled_from(["top_left", "bottom_right"])),
        pad_lens=pad_lens,
        window=options.pop("window", None),
        mask_options=tuple(options.items()),
        bias=draw(st.booleans()),
        scale=draw(st.none() | st.floats(0.01, 1)),
        # From 0.01; larger in float16, where scores would overflow.
        temperature=10 ** draw(st.just(0) | st.floats(-0.5 if dtype == "float16" else -2, 2)),
    )
    kind = draw(st.sampled_from(["randn", "peaked", "outlier", "large"]))
    return Case(request, kind, draw(st.integers(0, 2**32 - 1)))
