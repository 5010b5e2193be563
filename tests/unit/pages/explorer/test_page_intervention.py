"""A changed run on the explorer's page: its report holds what was before, too."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.models.intervene.output_change import embedding_change
from attnpanel.models.intervention_spec import parse_intervention
from attnpanel.models.prompts import PromptChange
from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer import page as pages
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.trace import Trace

TOKENS = ["a", "b", "<b>c"]


@pytest.mark.thorough
@pytest.mark.slow
def test_the_report_of_a_changed_run_compares_it_with_the_one_before(monkeypatch):
    before, after = (
        Trace(toy_trace(T=3, d_model=6, heads=3, seed=seed).calls, query_tokens=[TOKENS])
        for seed in (1, 2)
    )
    change = PromptChange(before, after, embedding_change(np.eye(3), np.eye(3)[::-1]))
    made = pages.Page(ServerSettings(), {})
    made._show(after, {})
    made.change.show(change, parse_intervention("out,0,1").describe(TOKENS))
    choices = {"head": 1, "query_index": 2, "aggregate": True, "mask": "padding", "pad_len": 2}
    made.explorer.state.param.update(choices)
    asked = {}
    written = pages.save_comparison

    def save(*traces, **options):
        asked.update(options, traces=traces[:2])
        return written(*traces, **options)

    monkeypatch.setattr(pages, "save_comparison", save)

    report = made._make_report().content()

    assert asked["traces"] == (before, after)
    assert asked["changed"] == "layer 0, head 1 knocked out"
    assert (asked["head"], asked["aggregate"], asked["query_index"]) == (1, True, 2)
    assert (asked["mask"], asked["pad_len"]) == ("padding", 2)
    assert b"The text's embedding moves" in report
    assert b"<b>c" not in report

    made.change.hide()
    assert made._make_report().content()
    assert asked["traces"] == (before, after)
