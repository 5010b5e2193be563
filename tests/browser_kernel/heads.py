"""Random heads for the JavaScript kernels, and the laws that they are held to."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

laws = settings(max_examples=60, deadline=None)
EMPTY_ROWS = ["zero", "uniform", "nan"]
# Up to 9: every remainder of the blocks of two rows by four columns, and more than one block.
lengths = st.integers(1, 9)
temperatures = st.floats(0.01, 100)
caps = st.none() | st.floats(0.1, 100)
sinks = st.none() | st.floats(-5, 5)
singles, doubles = st.just(np.float32), st.just(np.float64)
types = st.sampled_from([np.float64, np.float32])


@st.composite
def heads(draw, types=doubles):
    """Query, key, value, a bias with -inf in it or None, and a mask that may empty rows or None."""
    dtype = draw(types)
    query_len, key_len, head_dim, value_dim = (draw(lengths) for _ in range(4))
    entries = st.floats(-3, 3, width=32)

    def array(*shape):
        return draw(hnp.arrays(dtype, shape, elements=entries))

    pairs = (query_len, key_len)
    with_hidden = entries | st.just(-np.inf)
    bias = draw(st.none() | hnp.arrays(dtype, pairs, elements=with_hidden))
    mask = draw(st.none() | hnp.arrays(bool, pairs))
    return (
        array(query_len, head_dim),
        array(key_len, head_dim),
        array(key_len, value_dim),
        bias,
        mask,
    )


def normal(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def sizes(query, key, value):
    (query_len, head_dim), (key_len, value_dim) = query.shape, value.shape
    return {"T": query_len, "S": key_len, "D": head_dim, "Dv": value_dim}
