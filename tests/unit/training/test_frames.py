import zlib

import numpy as np
import pytest

from attnpanel.trace import Trace
from attnpanel.trace.call import AttentionCall
from attnpanel.training.frames import pack_frame, unpack_frame


def shape(*sizes):
    return np.array(sizes, dtype="<u2").tobytes()


def test_weights_come_back_in_their_order_within_half_a_step():
    rng = np.random.default_rng(0)
    calls = [
        AttentionCall("l", index, query=draw(rng), key=draw(rng), causal="top_left")
        for index in range(2)
    ]
    trace = Trace(calls)

    frame = unpack_frame(pack_frame(trace))

    got = np.frombuffer(frame.cells, np.uint8).reshape(2, 3, 5, 5) / 255
    expected = [[call.weights(head) for head in range(3)] for call in calls]
    np.testing.assert_allclose(got, expected, atol=0.5 / 255 + 1e-7)
    assert (frame.layers, frame.heads, frame.length) == (2, 3, 5)


def draw(rng):
    return rng.normal(size=(1, 3, 5, 7)).astype(np.float32)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "must have a shape"),
        (shape(1, 1, 2, 3) + zlib.compress(bytes(6)), "must have a shape"),
        (shape(16, 64, 512, 512) + zlib.compress(bytes(6)), "must have a shape"),
        (shape(0, 1, 2, 2) + zlib.compress(bytes(6)), "must have a shape"),
        (shape(1, 1, 2, 2) + b"no zlib", "is damaged"),
        (shape(1, 1, 2, 2) + zlib.compress(bytes(3)), "must have 4 cells; got 3"),
        # A decompression bomb of a gigabyte stops one byte after the expected size.
        (shape(1, 1, 2, 2) + zlib.compress(bytes(10**6)), "must have 4 cells; got 5"),
    ],
)
def test_what_is_no_frame_is_refused(data, rule):
    with pytest.raises(ValueError, match=rule):
        unpack_frame(data)
