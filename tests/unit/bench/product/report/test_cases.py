"""The measured traces."""

from __future__ import annotations

import pytest

from attnpanel.bench.product.report.cases import FULL, QUICK, TOY, ReportCase, gpt2_shaped, minilm


@pytest.mark.thorough(but=1)
@pytest.mark.model
@pytest.mark.parametrize("tokens", [16, 128, 512])
def test_the_text_gives_exactly_that_many_tokens(tokens):
    trace = minilm(tokens)

    assert len(trace.query_tokens[0]) == tokens
    assert {(call.heads, call.query_len) for call in trace.calls} == {(12, tokens)}
    assert not any(token.startswith("##") for token in trace.query_tokens[0])


def test_the_wide_layer_has_the_shape_of_gpt2_small_and_never_differs():
    (first,), (second,) = gpt2_shaped(16).calls, gpt2_shaped(16).calls

    assert first.query.shape == (1, 12, 16, 64)
    assert first.causal == "top_left"
    assert (first.query == second.query).all()
    assert (first.query != first.key).any()


@pytest.mark.parametrize("preset", [FULL, QUICK])
def test_a_source_matches_its_description(preset):
    for case in preset.reports:
        if case.source is TOY:
            assert {call.heads for call in TOY.make().calls} == {TOY.heads}
        assert f"T={case.source.query_len}" in case.source.name


def test_aggregate_needs_two_openings():
    with pytest.raises(ValueError, match="presses need at least two openings; got 1"):
        ReportCase(TOY, values=True, exports=1, openings=1, presses=3)
