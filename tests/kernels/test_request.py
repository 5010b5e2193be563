"""What no attention call can ask for is refused, wherever the request comes from."""

from __future__ import annotations

import pytest

from attnpanel.kernels.request import Request

SIZES = (2, 3, 3, 5, 7, 11, 13)


@pytest.mark.parametrize(
    ("sizes", "options", "rule"),
    [
        ((2, 3, 3, 5, 0, 11, 13), {}, "sizes must be integers from 1 to 2147483647"),
        ((10**12, 3, 3, 5, 7, 11, 13), {}, "sizes must be integers from 1 to 2147483647"),
        ((2, 3, 2, 5, 7, 11, 13), {}, "heads must be a multiple of kv_heads; got 3 and 2"),
        (SIZES, {"mask": "window", "window": 0}, "window must be from 1 to 2147483647; got 0"),
        (SIZES, {"mask": "window"}, "window goes with the mask window"),
        (SIZES, {"mask": "key_padding", "pad_lens": (3, -3)}, "pad_lens must be from 0 to 7"),
        (SIZES, {"mask": "key_padding", "pad_lens": (3, 8)}, "pad_lens must be from 0 to 7"),
        (SIZES, {"mask": "key_padding", "pad_lens": (3,)}, "one length for each of 2 batch"),
        (SIZES, {"temperature": 0.0}, "temperature must be positive and finite; got 0"),
    ],
)
def test_an_impossible_request_is_refused(sizes, options, rule):
    with pytest.raises(ValueError, match=rule):
        Request(*sizes, **options)
