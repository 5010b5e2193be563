"""The numbers behind a pair: products that add up to its score, values that add up to the mix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnpanel.attention.masks import make_mask
from attnpanel.trace import Trace
from tests.browser_kernel.conftest import node_running
from tests.browser_kernel.explorers import call, data_of

HERE = Path(__file__).parent
STATE = {
    "layer": 0,
    "head": 1,
    "batch": 0,
    "aggregate": False,
    "query_index": 2,
    "pair": [2, 4],
    "temperature": 0.5,
    "mask": "none",
    "empty_rows": "zero",
    "align": "top_left",
}


@pytest.fixture(scope="module")
def made():
    return call(3, heads=2, query_len=5)


@pytest.fixture(scope="module")
def details(made):
    trace = Trace([made], source="capture", query_tokens=[list("abcde")])
    with node_running(HERE / "drawings.mjs") as page:
        page("show", data_of(trace), {})
        yield lambda **changes: page("live", "pairDetails", STATE | changes)


def numbers(row):
    return [float(text) for text in row["cells"]]


def test_the_products_of_query_and_key_add_up_to_the_score(details, made):
    shown = details()

    query, key = made.query[0, 1, 2], made.key[0, 1, 4]
    rows = {row["name"]: numbers(row) for row in shown["channels"]}
    # Two decimals are shown.
    np.testing.assert_allclose(rows["query c"], query, atol=0.0051)
    np.testing.assert_allclose(rows["key e"], key, atol=0.0051)
    np.testing.assert_allclose(rows["product"], query * key, atol=0.0051)
    steps = dict(shown["steps"])
    assert float(steps["q·k"]) == pytest.approx(float(query @ key), abs=0.0051)
    assert float(steps["÷ τ 0.50"]) == pytest.approx(
        float(query @ key) / np.sqrt(len(query)) / 0.5, abs=0.0051
    )


def test_the_table_has_every_key_by_weight_and_what_the_token_becomes(details, made):
    shown = details()

    weights = made.weights(1, temperature=0.5)[2]
    order = np.argsort(-weights, kind="stable")
    assert [row["name"] for row in shown["row"]] == [list("abcde")[key] for key in order]
    np.testing.assert_allclose(
        [float(row["cells"][1]) for row in shown["row"]], weights[order], rtol=0.005
    )
    output = [float(text) for text in shown["output"]["cells"][2:]]
    np.testing.assert_allclose(output, (weights @ made.value[0, 1])[: len(output)], atol=0.0051)


def test_a_hidden_key_has_no_score_and_no_weight(details):
    shown = details(mask="causal")

    assert make_mask("causal", 5)[2, 4] == 0
    assert shown["steps"][-1] == ["mask: hidden", "weight 0"]
    hidden = next(row for row in shown["row"] if row["name"] == "e")
    assert hidden["cells"][:2] == ["masked", "0"]


def test_a_mean_over_heads_says_why_it_has_no_query(details):
    shown = details(aggregate=True)

    assert shown["channels"] == []
    assert shown["missing"].startswith("A mean over heads has no query and key of its own")
    assert len(shown["row"]) == 5
