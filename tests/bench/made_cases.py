"""Small cases of every sort, made up by hypothesis."""

from hypothesis import strategies as st

from attnpanel.kernels.request import Request
from bench.cases import Case

lengths = st.integers(1, 9)


@st.composite
def cases(draw, dtypes=("float64", "float32", "float16", "bfloat16")):
    """Any mask, shape, dtype, temperature and kind of numbers; rows may be empty."""
    mask = draw(st.sampled_from(["none", "padding", "key_padding", "causal", "window"]))
    batch, kv_heads, query_len = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(lengths)
    key_len = draw(st.just(query_len) | lengths | st.integers(30, 40))
    dtype = draw(st.sampled_from(dtypes))
    head_dim = draw(lengths | st.sampled_from([16, 64, 128]))
    longest = {"padding": max(query_len, key_len), "key_padding": key_len}.get(mask)
    request = Request(
        batch=batch,
        heads=kv_heads * draw(st.integers(1, 3)),
        kv_heads=kv_heads,
        query_len=query_len,
        key_len=key_len,
        head_dim=head_dim,
        value_dim=draw(st.just(head_dim) | lengths),
        dtype=dtype,
        mask=mask,
        align=draw(st.sampled_from(["top_left", "bottom_right"])),
        pad_lens=longest and tuple(draw(st.integers(0, longest)) for _ in range(batch)),
        window=draw(lengths) if mask == "window" else None,
        bias=draw(st.booleans()),
        scale=draw(st.none() | st.floats(0.01, 1)),
        # From 0.01, but where float16 could no longer hold the scores.
        temperature=10 ** draw(st.just(0) | st.floats(-0.5 if dtype == "float16" else -2, 2)),
    )
    kind = draw(st.sampled_from(["randn", "peaked", "outlier", "large"]))
    return Case(request, kind, draw(st.integers(0, 2**32 - 1)))
