"""Rollout and flow: calculated by hand, and against networkx."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from attnpanel.analysis import flow, layer_flow, rollout
from attnpanel.analysis.max_flow import max_flows
from attnpanel.trace import Trace
from attnpanel.trace.call import AttentionCall
from tests.hand_made import call
from tests.unit.analysis.test_affinity import EYE, SHIFTED, call_of


def networkx_flow(pipes, source, sink):
    """The same by networkx's preflow-push, on a graph built edge by edge."""
    graph = nx.DiGraph()
    for row, pipe in enumerate(pipes):
        for i, j in np.argwhere(pipe > 0).tolist():
            graph.add_edge((row, j), (row + 1, i), capacity=float(pipe[i, j]))
    ends = (0, source), (len(pipes), sink)
    return nx.maximum_flow_value(graph, *ends) if all(end in graph for end in ends) else 0.0


@pytest.mark.parametrize("layers", [1, 2, 3, 5])
@pytest.mark.parametrize("share", [1.0, 0.4])  # of the pipes that are there
def test_flows_are_those_of_another_algorithm(layers, share):
    rng = np.random.default_rng(layers)
    pipes = [rng.random((7, 7)) ** 3 * (rng.random((7, 7)) < share) for _ in range(layers)]

    flows = max_flows(pipes, sink=2)

    expected = [networkx_flow(pipes, source, 2) for source in range(7)]
    np.testing.assert_allclose(flows, expected, rtol=1e-9, atol=1e-10)
    assert max(expected) > 0


def test_a_flow_is_rerouted_if_two_paths_need_one_edge():
    # 0 → 0 → 0 → 0 is the only way through the last row's node 0, 0 → 1 → … the only other:
    # filled greedily, 0 → 0 → 1 and 0 → 1 → 1 would share the pipe to the sink.
    first = np.array([[0.5, 0], [0.5, 0]])
    second = np.array([[0.5, 0], [0.5, 0.5]])
    last = np.array([[0.5, 0.5], [0, 0]])

    np.testing.assert_allclose(max_flows([first, second, last], sink=0), [1, 0])


def test_rollout_of_one_layer_is_half_attention_half_identity():
    np.testing.assert_allclose(
        rollout(Trace([call_of(EYE, SHIFTED)])), 0.75 * EYE + 0.25 * SHIFTED, atol=1e-12
    )


def test_rollout_multiplies_layer_upon_layer():
    sink = np.zeros((4, 4))
    sink[:, 0] = 1
    trace = Trace([call_of(SHIFTED), call_of(sink, index=1)])

    # The second layer is the left factor: it reads the output of the first.
    expected = (sink + EYE) / 2 @ ((SHIFTED + EYE) / 2)
    np.testing.assert_allclose(rollout(trace), expected, atol=1e-7)
    np.testing.assert_allclose(rollout(trace).sum(axis=-1), 1, atol=1e-12)


def test_a_row_of_rollout_is_that_of_the_product():
    rng = np.random.default_rng(6)
    heads = [rng.dirichlet(np.full(4, 0.5), (3, 4)) for _ in range(4)]
    trace = Trace([call_of(*stack, index=at) for at, stack in enumerate(heads)])

    for layers in (None, [0, 2], [1]):
        whole = rollout(trace, layers=layers)
        for query in range(4):
            row = layer_flow.rollout_row(trace, query, layers=layers)
            np.testing.assert_allclose(row, whole[query], atol=1e-14)


def test_a_row_that_sees_no_key_keeps_its_own_token():
    blind = EYE.copy()
    blind[2] = 0

    np.testing.assert_allclose(rollout(Trace([call_of(blind)])), EYE, atol=1e-12)


def test_rollout_through_cross_attention_is_refused():
    trace = Trace([call_of(EYE), call_of(EYE, index=1, kind="cross")])

    np.testing.assert_allclose(rollout(trace), EYE)
    with pytest.raises(ValueError, match="call 1 is cross-attention of 4 queries and 4 keys"):
        rollout(trace, layers=[0, 1])


def test_flow_of_one_layer_is_half_attention_half_identity():
    trace = Trace([call_of(EYE, SHIFTED)])

    np.testing.assert_allclose(flow(trace), 0.75 * EYE + 0.25 * SHIFTED, atol=1e-12)
    np.testing.assert_allclose(flow(trace, [3, 1]), flow(trace)[[3, 1]])


def test_no_less_flows_than_rollout_multiplies():
    rng = np.random.default_rng(5)
    heads = [rng.dirichlet(np.full(4, 0.5), (3, 4)) for _ in range(4)]
    trace = Trace([call_of(*stack, index=at) for at, stack in enumerate(heads)])

    # Rollout's weights are a feasible flow, as no row sums to more than 1.
    assert (flow(trace) >= rollout(trace) - 1e-9).all()


@pytest.mark.parametrize("queries", [[4], [-1], [[0]]])
def test_a_position_that_does_not_exist_is_refused(queries):
    with pytest.raises(ValueError, match=r"positions in 0\.\.3; got"):
        flow(Trace([call_of(EYE)]), queries)


@pytest.mark.parametrize("through", [flow, rollout])
def test_other_lengths_and_empty_traces_are_refused(through):
    other = AttentionCall("b", 1, recorded_weights=np.eye(3, dtype=np.float32)[None, None])

    with pytest.raises(ValueError, match="at least one attention call; got none"):
        through(Trace())
    with pytest.raises(ValueError, match="call 1 is self-attention of 3 queries and 3 keys"):
        through(Trace([call_of(EYE), other]), layers=[0, 1])


@pytest.mark.parametrize("layers", [[99], [-1], [0, 1.5]])
def test_a_layer_that_is_not_there_is_refused(layers):
    with pytest.raises(ValueError, match=r"layers must be in 0\.\.0; got"):
        rollout(Trace([call_of(EYE)]), layers=layers)


@pytest.mark.parametrize("queries", [[], [1.7], [4], 2])
def test_what_is_no_position_is_refused(queries):
    with pytest.raises(ValueError, match=r"queries must be one or more positions in 0\.\.3; got"):
        flow(Trace([call_of(EYE)]), queries)


@pytest.mark.parametrize(("layers", "queries"), [(6, [0]), (2, [0, 1, 2])])
def test_a_flow_that_takes_minutes_warns_before_it_starts(monkeypatch, layers, queries):
    monkeypatch.setattr(layer_flow, "max_flows", lambda pipes, _sink: np.zeros(len(pipes[0])))
    trace = Trace([call(index, heads=1, query_len=191) for index in range(layers)])

    with pytest.warns(UserWarning, match=rf"{len(queries)} positions .* 191 tokens .* 2 minutes"):
        flow(trace, queries)

    flow(trace, queries[:1], layers=[0, 1])  # warnings are errors: half a minute goes without
    flow(trace, layers=[1])  # of one layer nothing is to be found
