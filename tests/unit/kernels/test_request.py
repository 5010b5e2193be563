"""What no attention call can ask for is refused, wherever the request comes from."""

from __future__ import annotations

import pytest

from attnpanel.attention.mask_table import mask_kinds
from attnpanel.bench.certify.cases import example_mask
from attnpanel.kernels.request import Request

SIZES = (2, 3, 3, 5, 7, 11, 13)


@pytest.mark.parametrize(
    ("sizes", "options", "rule"),
    [
        ((2, 3, 3, 5, 0, 11, 13), {}, "sizes must be integers from 1 to 2147483647"),
        ((10**12, 3, 3, 5, 7, 11, 13), {}, "sizes must be integers from 1 to 2147483647"),
        ((2, 3, 2, 5, 7, 11, 13), {}, "heads must be a multiple of kv_heads; got 3 and 2"),
        (SIZES, {"mask": "window", "window": 0}, "window must be from 1 to 2147483647; got 0"),
        (SIZES, {"mask": "window"}, "mask 'window' needs window, .*; got none"),
        (
            SIZES,
            {"mask": "key_padding", "pad_lens": (3, -3)},
            "pad_len must be an integer from 0 to 7; got -3",
        ),
        (
            SIZES,
            {"mask": "key_padding", "pad_lens": (3, 8)},
            "pad_len must be an integer from 0 to 7",
        ),
        (SIZES, {"mask": "key_padding", "pad_lens": (3,)}, "one length for each of 2 batch"),
        (
            SIZES,
            {"mask": "none", "pad_lens": (3, 3)},
            "mask 'none' needs no parameter, .*; got pad_len",
        ),
        (SIZES, {"mask": "diagonal"}, "kind must be one of none, padding, .*; got 'diagonal'"),
        (SIZES, {"mask": "causal", "mask_options": (("no", 1),)}, "needs no parameter, .*; got no"),
        (SIZES, {"mask": "causal", "align": "centre"}, "align must be 'top_left' or"),
        (SIZES, {"temperature": 0.0}, "temperature must be positive and finite; got 0"),
    ],
)
def test_an_impossible_request_is_refused(sizes, options, rule):
    with pytest.raises(ValueError, match=rule):
        Request(*sizes, **options)


@pytest.mark.parametrize("kind", mask_kinds())
def test_a_shortened_request_has_a_mask_of_its_own_lengths(kind):
    request = Request(*SIZES, **example_mask(kind, 5, 7, 2))

    shorter = request.shortened(2, 3)

    assert (shorter.query_len, shorter.key_len, shorter.mask) == (2, 3, kind)
    assert shorter.window == request.window
    visible = shorter.visible()
    assert visible is None or visible.shape[-2:] == (2, 3)


def test_what_a_mask_needs_is_cut_to_shorter_lengths():
    padded = Request(*SIZES, mask="key_padding", pad_lens=(2, 7)).shortened(2, 3)
    options = (("starts", (2, 5)),)
    packed = Request(*SIZES, mask="documents", mask_options=options).shortened(2, 3)

    assert padded.pad_lens == (2, 3)
    assert packed.mask_options == (("starts", (2,)),)
