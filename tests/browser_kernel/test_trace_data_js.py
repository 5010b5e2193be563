"""trace_data.js opens what make_payload() packed: the same numbers, masks, colours and tokens."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from attnpanel.explorer.selection import value_colours
from attnpanel.explorer.wire_format import make_payload
from attnpanel.models.toy import toy_trace
from attnpanel.trace import Trace
from tests.browser_kernel.conftest import Kernel, KernelError, node_running
from tests.browser_kernel.explorers import hiding_bias
from tests.hand_made import call, recorded, trace_of

HERE = Path(__file__).parent
OPENED_S = 10


class Opened:
    """The page's side in Node."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def __call__(self, name: str, *args):
        return self.kernel(name, *args)

    def open(self, payload) -> list[bool]:
        return self.kernel("open", payload.meta, payload.calls)

    def ready(self, index: int) -> str:
        self.kernel("ready", index)
        deadline = time.monotonic() + OPENED_S
        while time.monotonic() < deadline:
            answer = self.kernel("answer")
            if answer is not None:
                return answer
            time.sleep(0.005)
        raise AssertionError("a call was not opened in time")

    def show(self, trace: Trace, **options) -> None:
        payload = make_payload(trace, **options)
        self.open(payload)
        for index in range(len(payload.calls)):
            assert self.ready(index) == "ready"


@pytest.fixture(scope="module")
def page():
    with node_running(HERE / "trace_data.mjs") as kernel:
        yield Opened(kernel)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_every_head_has_its_queries_keys_and_values(page, dtype):
    one = call(0, batch=2, heads=6, kv_heads=2, query_len=5, key_len=7)
    page.show(trace_of(one), dtype=dtype)

    for batch in range(2):
        for head in range(6):
            shared = head // 3  # query heads 0 to 2 read the first key head
            for name, array, at in (
                ("query", one.query, head),
                ("key", one.key, shared),
                ("value", one.value, shared),
            ):
                expected = array[batch, at].astype(dtype).astype(np.float32)
                made = page("ask", name, 0, batch, head)
                assert made.dtype == np.float32
                np.testing.assert_array_equal(made, expected.ravel(), err_msg=name)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"causal": "top_left"},
        {"causal": "bottom_right"},
        {"causal": "top_left", "q_offset": 2},
        {"mask": np.random.default_rng(1).random((2, 3, 5, 7)) < 0.5},
        {"mask": np.random.default_rng(2).random((2, 1, 1, 7)) < 0.5},
        {"mask": np.random.default_rng(3).random((5, 7)) < 0.5, "causal": "top_left"},
        {"mask": np.random.default_rng(4).random((3, 5, 1)) < 0.5},
        {"bias": hiding_bias(1, 3, 5, 7, empty=4)},
        {"bias": hiding_bias(2, 1, 1, 7, empty=0), "causal": "bottom_right"},
        {
            "bias": hiding_bias(5, 7, empty=2),
            "mask": np.random.default_rng(6).random((2, 1, 5, 7)) < 0.7,
        },
    ],
    ids=lambda given: "+".join(
        f"{k} {v.shape}" if isinstance(v, np.ndarray) else str(v) for k, v in given.items()
    ),
)
def test_the_models_own_mask_and_bias_are_those_of_the_call(page, given):
    one = call(0, batch=2, heads=3, query_len=5, key_len=7, **given)
    page.show(trace_of(one))

    for batch in range(2):
        for head in range(3):
            expected = one.visible(head, batch)
            np.testing.assert_array_equal(page("ask", "visible", 0, batch, head), expected.ravel())
            bias = page("ask", "bias", 0, batch, head)
            if one.bias is None:
                assert bias is None
            else:
                whole = np.broadcast_to(one.bias, (2, 3, 5, 7))[batch, head]
                np.testing.assert_array_equal(bias, whole.ravel())


def test_recorded_weights_are_those_of_the_call(page):
    one = recorded(0, batch=2, heads=3, query_len=5)
    page.show(trace_of(one))

    for batch in range(2):
        for head in range(3):
            expected = one.recorded_weights[batch, head].astype(np.float16)
            np.testing.assert_array_equal(page("ask", "recorded", 0, batch, head), expected.ravel())
    assert page("ask", "value", 0, 0, 0) is None
    assert page("ask", "colours", 0, 0, 0, 0) is None


@pytest.mark.parametrize("head", [None, 0, 4])
@pytest.mark.parametrize("seed", [0, 7, 19])
def test_paints_are_mixed_from_values_as_python_does(page, head, seed):
    one = call(0, batch=2, heads=6, kv_heads=2)
    page.show(trace_of(one), dtype="float32")

    made = page("ask", "colours", 0, 1, head, seed)

    assert made.dtype == np.float64
    np.testing.assert_allclose(
        made, value_colours(one, head, 1, seed=seed).ravel(), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("head", [None, 0, 4])
def test_paints_that_came_without_values_are_pythons(page, head):
    one = call(0, batch=2, heads=6, kv_heads=2)
    page.show(trace_of(one), values=False, color_seed=3)

    made = page("ask", "colours", 0, 1, head, 11)

    # Half a unit of float16 below 1.
    expected = value_colours(one, head, 1, seed=3).ravel()
    np.testing.assert_allclose(made, expected, rtol=0, atol=2.0**-12)
    assert page("ask", "value", 0, 1, 0) is None


def test_what_was_made_once_is_kept(page):
    page.show(trace_of(call(0, mask=np.ones((5, 5), bool), bias=np.ones((5, 5), np.float32))))

    for name, args in (
        ("query", [0, 1]), ("key", [0, 1]), ("value", [0, 1]), ("bias", [0, 1]),
        ("visible", [0, 1]), ("colours", [0, 1, 3]),
    ):  # fmt: skip
        assert page("same", name, 0, args, args), name


def test_one_mask_for_all_heads_is_made_once(page):
    page.show(trace_of(call(0, causal="top_left")))

    assert page("same", "visible", 0, [0, 1], [0, 2])


def test_a_layer_is_decompressed_when_it_is_asked_for(page):
    payload = make_payload(trace_of(call(0), call(1), call(2)))

    assert page.open(payload) == [False, False, False]
    assert page.ready(1) == "ready"
    assert [page("callField", index, "opened") for index in range(3)] == [False, True, False]
    assert page.ready(1) == "ready"


def test_tokens_are_those_of_the_trace(page):
    words = ("one", "</script>", "“three”", "\u2028", "")
    trace = Trace(
        [call(0, batch=2), call(1, query_len=3, key_len=5), call(2, query_len=4)],
        query_tokens=[words, words[::-1]],
        source="capture",
    )
    page.show(trace)

    for index, one in enumerate(trace.calls):
        for batch in range(one.batch):
            queries, keys = trace.tokens_of(one, batch)
            made = page("tokens", index, batch)
            assert made == {"queries": list(queries), "keys": list(keys)}


def test_the_toy_opens(page):
    page.show(toy_trace())

    assert page("field", "source") == "toy"
    assert page("field", "colorSeed") == 0


def test_numbers_beyond_float16_come_through(page):
    one = call(0)
    one = dataclasses.replace(one, query=one.query * np.float32(1e30))
    page.show(trace_of(one))

    np.testing.assert_array_equal(page("ask", "query", 0, 0, 2), one.query[0, 2].ravel())


@pytest.mark.parametrize("schema", ["attnpanel.payload/2", "", None, 1, {"a": 1}])
def test_an_unknown_version_is_named(page, schema):
    payload = make_payload(toy_trace())
    payload.meta["schema"] = schema

    with pytest.raises(KernelError, match=r"this page reads attnpanel\.payload/1; its data says"):
        page.open(payload)


@pytest.mark.parametrize("damage", ["half", "none", "letters", "other"])
def test_damaged_data_is_an_error_and_no_numbers(page, damage):
    payload = make_payload(trace_of(call(0)))
    text = payload.calls[0]
    half = len(text) // 8 * 4
    payload.calls[0] = {
        "half": text[:half], "none": "", "letters": "%" + text[1:], "other": "AAAA" + text[4:],
    }[damage]  # fmt: skip
    page.open(payload)

    said = page.ready(0)

    assert said != "ready"
    assert not page("callField", 0, "opened")
