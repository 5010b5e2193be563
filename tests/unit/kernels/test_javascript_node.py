"""attention.js as a kernel: the process it runs in; test_formula.py has the numbers."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from attnpanel.kernels.javascript.node_kernel import (
    JAVASCRIPT_NODE,
    KERNELS,
    LoadedCall,
    sizes_of,
)
from attnpanel.kernels.javascript.node_process import (
    JavaScriptError,
    NodeProcess,
    find_node,
    node_process,
)
from attnpanel.kernels.numpy_.call import NumpyCall
from attnpanel.kernels.request import Request
from tests.unit.kernels.formula import assert_formula, draw

REQUEST = Request(1, 2, 1, 3, 5, 7, 2)

needs_node = pytest.mark.skipif(find_node() is None, reason="there is no `node` on PATH")


@needs_node
def test_one_process_computes_all_calls_each_time_anew():
    one = JAVASCRIPT_NODE.prepare(draw(REQUEST, seed=1), REQUEST)
    process = node_process()
    other = JAVASCRIPT_NODE.prepare(draw(REQUEST, seed=2), REQUEST)
    first, between, second = one(), other(), one()

    np.testing.assert_array_equal(first.output, second.output)
    assert not np.shares_memory(first.output, second.output)
    assert not np.array_equal(first.output, between.output)
    assert node_process() is process


@needs_node
def test_a_call_is_forgotten_with_its_closure():
    process = node_process()
    run = JAVASCRIPT_NODE.prepare(draw(REQUEST), REQUEST)
    number = run.__self__._number
    run()
    del run
    gc.collect()
    JAVASCRIPT_NODE.prepare(draw(REQUEST), REQUEST)()  # the message that takes the news along

    room = [[np.empty(1)]]
    with pytest.raises(JavaScriptError, match="TypeError"):
        process.compute(number, room)


@needs_node
def test_what_javascript_throws_is_told_and_the_next_call_works():
    process = node_process()
    call = NumpyCall.of(draw(REQUEST), REQUEST)

    with pytest.raises(JavaScriptError, match="temperature must be positive and finite; got -1"):
        LoadedCall(replace(call, temperature=-1.0), KERNELS).compute()

    assert_formula(JAVASCRIPT_NODE, draw(REQUEST), REQUEST)
    assert node_process() is process


@needs_node
def test_a_process_that_ended_is_told_and_another_takes_its_place():
    run = JAVASCRIPT_NODE.prepare(draw(REQUEST), REQUEST)
    run()
    ended = node_process()
    ended._process.kill()
    ended._process.wait()

    with pytest.raises(RuntimeError, match=r"Node\.js ended"):
        run()
    assert_formula(JAVASCRIPT_NODE, draw(REQUEST), REQUEST)
    assert node_process() is not ended


@needs_node
def test_an_interrupted_answer_ends_the_process(monkeypatch):
    process, call = NodeProcess(), NumpyCall.of(draw(REQUEST), REQUEST)
    sizes = {**sizes_of(call), "kernels": KERNELS}
    number = process.load(sizes, [call.query, call.key, call.value])

    def interrupted(array):
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_fill", interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.compute(number, [[np.empty(1)]])

    assert not process.usable
    assert process._process.poll() is not None
    assert process._stdin.closed


def test_without_node_it_says_so(monkeypatch):
    monkeypatch.setattr("attnpanel.kernels.javascript.node_kernel.find_node", lambda: None)

    (reason,) = JAVASCRIPT_NODE.unsupported(REQUEST)
    assert reason == "javascript-node needs Node.js 20 or newer: there is no `node` on PATH"


@needs_node
def test_a_matrix_that_node_cannot_hold_is_declined():
    (reason,) = JAVASCRIPT_NODE.unsupported(replace(REQUEST, query_len=2**15, key_len=2**15))

    assert reason.endswith("at most 536870912 cells; got 1073741824")
