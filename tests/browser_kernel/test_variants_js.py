"""The page of variants computes Python's prices, and NumPy's attention and online softmax."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attnpanel import attend
from attnpanel.pages.variants import for_page
from attnpanel.pages.variants.component import content_for_page
from attnpanel.pages.variants.example import example_layouts
from attnpanel.pages.variants.models import MODELS
from attnpanel.pages.variants.price import price
from attnpanel.pages.variants.table import LAYOUTS, VISIBILITIES
from tests.browser_kernel.conftest import node_running
from tests.unit.pages.variants.test_price import SEES, random_sizes

CONTENT = content_for_page()
TABLE, EXAMPLE, MACHINES = (CONTENT[name] for name in ("table", "example", "machines"))
VARIANTS = [(layout, visibility) for layout in LAYOUTS for visibility in VISIBILITIES]
# The parameters of the example's masks, by the names of SEES.
SHOWN = {"window": 3, "kept": 1, "prefix": 3, "document": 4}
T, D = 8, 2


@pytest.fixture(scope="module")
def page():
    with node_running(Path(__file__).with_name("variants.mjs")) as kernel:
        yield kernel


def mask_of(visibility) -> np.ndarray:
    shown = SHOWN | ({"window": 2} if visibility.name == "kept" else {})
    return np.array([[SEES[visibility.name](i, j, shown) for j in range(T)] for i in range(T)])


def attended(layout, visibility):
    """Return NumPy's attention of the example."""
    arrays = example_layouts()[layout.name]
    sinks = None if visibility.sink is None else np.full(4, visibility.sink)
    query, key, value = (arrays[name][None] for name in ("query", "key", "value"))
    return attend(query, key, value, mask=mask_of(visibility), sinks=sinks)


@pytest.mark.parametrize("seed", range(6))
def test_prices_are_pythons(page, seed):
    for layout, visibility in VARIANTS:
        sizes = random_sizes(seed)
        for projections in (False, True):
            made = page("prices", TABLE, layout.name, visibility.name, sizes, projections)
            expected = price(layout, visibility, sizes, projections=projections)
            assert {name: made[name] for name in expected} == expected
            for phase in ("prefill", "decode"):
                ratio = expected[f"{phase}_flops"] / expected[f"{phase}_bytes"]
                assert made[f"{phase}_intensity"] == ratio


def test_a_row_adds_a_variant(page, monkeypatch):
    keys_only = replace(
        LAYOUTS[0],
        name="keys_only",
        counts=LAYOUTS[0].counts | {"cached": "heads * head_dim"},
    )
    block = replace(
        VISIBILITIES[0],
        name="block",
        counts={"seen": "length // window", "pairs": "length * length // window"},
    )
    monkeypatch.setattr(for_page, "LAYOUTS", (*LAYOUTS, keys_only))
    monkeypatch.setattr(for_page, "VISIBILITIES", (*VISIBILITIES, block))
    sizes, table = random_sizes(1), for_page.table_for_page()

    made = page("prices", table, "keys_only", "block", sizes, 0)

    expected = price(keys_only, block, sizes)
    assert {name: made[name] for name in expected} == expected
    assert expected["cache_per_token"] * 2 == price(*VARIANTS[0], sizes)["cache_per_token"]
    opened = page("fromLink", "layout=keys_only&mask=block", table, MACHINES, EXAMPLE)
    assert (opened["state"]["layout"], opened["state"]["visibility"]) == ("keys_only", "block")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_prices_of_models_are_pythons(page, model):
    for layout, visibility in VARIANTS:
        made = page("prices", TABLE, layout.name, visibility.name, model.sizes, 1)
        expected = price(layout, visibility, model.sizes, projections=True)
        # Python's are integers of any size; from 2^53 on a page rounds each sum and product.
        for name, value in expected.items():
            np.testing.assert_allclose(made[name], value, rtol=1e-14)


@pytest.mark.parametrize(
    ("layout", "visibility"), VARIANTS, ids=lambda row: getattr(row, "name", None)
)
def test_weights_and_outputs_of_the_example_are_numpys(page, layout, visibility):
    heads = page("variantOf", EXAMPLE, TABLE, layout.name, visibility.name)
    expected = attended(layout, visibility)

    for head, made in enumerate(heads):
        np.testing.assert_array_equal(made["visible"].reshape(T, T), mask_of(visibility))
        np.testing.assert_allclose(
            made["weights"].reshape(T, T), expected.weights[0, head], atol=1e-14
        )
        np.testing.assert_allclose(
            made["output"].reshape(T, D), expected.output[0, head], atol=1e-13
        )


def test_differences_are_those_of_numpys_weights_and_outputs(page):
    base = attended(LAYOUTS[0], VISIBILITIES[0])
    causal = page("variantOf", EXAMPLE, TABLE, "multi", "causal")
    for layout, visibility in VARIANTS:
        variant = page("variantOf", EXAMPLE, TABLE, layout.name, visibility.name)
        made = page("differenceOf", variant, causal)
        own = attended(layout, visibility)
        change = np.linalg.norm(own.output - base.output) / np.linalg.norm(base.output)
        np.testing.assert_allclose(made["output"], change, atol=1e-13)
        np.testing.assert_allclose(
            made["weight"], np.abs(own.weights - base.weights).max(), atol=1e-13
        )


@pytest.mark.parametrize("order", ["queries", "keys"])
@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (3, 5), (1, 1), (8, 8), (8, 1)])
@pytest.mark.parametrize(("layout", "visibility"), [(0, 0), (1, 1), (3, 3), (2, 5)])
def test_the_online_softmax_is_numpys_at_every_step(page, order, rows, columns, layout, visibility):
    layout, visibility = LAYOUTS[layout], VISIBILITIES[visibility]
    mask, expected = mask_of(visibility), attended(layout, visibility)
    arrays, head = example_layouts()[layout.name], 3
    value = arrays["value"][head * len(arrays["value"]) // 4]
    options = {"rows": rows, "columns": columns, "order": order}

    run = page("stepped", EXAMPLE, TABLE, layout.name, visibility.name, head, options)

    scores = np.where(mask, expected.scores[0, head], -np.inf)
    seen = {query: [] for query in range(T)}
    sink = [] if visibility.sink is None else [visibility.sink]
    for step in run["steps"]:
        keys = list(range(*step["keys"]))
        assert [row["query"] for row in step["rows"]] == list(range(*step["queries"]))
        for row in step["rows"]:
            query = row["query"]
            assert row["before"] == state_of(scores[query], seen[query], value, sink)
            seen[query] += keys
            after = state_of(scores[query], seen[query], value, sink)
            assert row["after"] == after
            np.testing.assert_allclose(row["scores"], scores[query, keys], rtol=1e-14)
            if after["max"] > -np.inf:
                weights = np.exp(scores[query, keys] - after["max"])
                np.testing.assert_allclose(row["weights"], weights, rtol=1e-13)
                rescale = np.exp(row["before"]["max"] - after["max"])
                factor = rescale if row["before"]["max"] > -np.inf else 1
                np.testing.assert_allclose(row["rescale"], factor, rtol=1e-13)
    np.testing.assert_allclose(run["output"].reshape(T, D), expected.output[0, head], atol=1e-14)
    blocks = [tuple(step["block"]) for step in run["steps"]]
    visible = {
        (row, column)
        for row in range(-(-T // rows))
        for column in range(-(-T // columns))
        if mask[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns].any()
    }
    assert set(blocks) == visible
    assert blocks == sorted(visible, key=lambda at: at if order == "queries" else at[::-1])
    assert not visible & {tuple(block) for block in run["skipped"]}


def state_of(scores, keys, value, sink):
    """Return the state after some keys, computed from all of them at once."""
    given = np.concatenate([scores[keys], sink])
    if not np.isfinite(given).any():
        return Near({"max": -np.inf, "sum": 0.0, "output": [0.0] * D})
    largest = given.max()
    weights = np.exp(scores[keys] - largest)
    return Near(
        {
            "max": largest,
            "sum": np.exp(given - largest).sum(),
            "output": list(weights @ value[keys]),
        }
    )


class Near(dict):
    """Equal to a state whose numbers differ by rounding only."""

    __hash__ = None

    def __eq__(self, other):
        for name, expected in self.items():
            np.testing.assert_allclose(other[name], expected, rtol=1e-12, atol=1e-12)
        return True


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("length", "1e9", "Length must be an integer from 1 to 16,777,216; got “1e9”."),
        ("length", "", "Length must be an integer from 1 to 16,777,216; got nothing."),
        ("length", "16777217", "Length must be an integer from 1 to 16,777,216; got “16777217”."),
        ("heads", "0", "Query heads must be an integer from 1 to 1,024; got “0”."),
        ("heads", "-4", "Query heads must be an integer from 1 to 1,024; got “-4”."),
        ("batch", "٣", "Batch must be an integer from 1 to 65,536; got “٣”."),
        ("bytes", "3", "Bytes per element must be 1, 2 or 4; got “3”."),
        ("layers", "9" * 400, f"Layers must be an integer from 1 to 1,000; got “{'9' * 24}…”."),
        ("layers", "<img src=x>", "Layers must be an integer from 1 to 1,000; got “<img src=x>”."),
    ],
)
def test_a_size_out_of_bounds_is_refused_with_the_bound(page, name, text, rule):
    field = next(size for size in TABLE["sizes"] if size["name"] == name)

    assert page("readSize", field, text) == {"problem": rule}


def test_thousands_may_be_separated(page):
    field = next(size for size in TABLE["sizes"] if size["name"] == "length")

    assert page("readSize", field, " 131,072 ") == {"value": 131072}


def test_grouped_heads_follow_the_heads_that_they_divide(page):
    sizes = MODELS[0].sizes

    changed = page("changeSize", sizes, "heads", 12)
    assert changed["sizes"]["kv_heads"] == 6
    assert changed["note"] == "KV heads, grouped: now 6, which divides 12."
    refused = page("changeSize", sizes, "kv_heads", 5)
    assert refused == {"problem": "KV heads must divide the 32 query heads; got 5."}


def test_a_link_restores_every_choice(page):
    state = page("fromLink", "", TABLE, MACHINES, EXAMPLE)["state"]
    changed = state | {
        "model": "deepseek-v3",
        "sizes": next(model.sizes for model in MODELS if model.name == "deepseek-v3")
        | {"heads": 12, "kv_heads": 3, "bytes": 1, "kept": 0},
        "layout": "grouped",
        "visibility": "documents",
        "projections": True,
        "head": 3,
        "token": 0,
        "machines": ["H200 SXM", "T4"],
        "rows": 3,
        "columns": 5,
        "order": "keys",
        "step": 2,
    }

    link = page("linkOf", changed, TABLE, MACHINES, EXAMPLE)

    assert page("fromLink", link, TABLE, MACHINES, EXAMPLE) == {"state": changed, "problems": []}
    assert page("linkOf", state, TABLE, MACHINES, EXAMPLE) == ""


@pytest.mark.parametrize(
    "link",
    [
        "model=<script>&layout=__proto__&mask=constructor&order=toString",
        "length=Infinity&heads=NaN&kv_heads=7&head=99&rows=0&step=-1&machines=a|b|c",
        "&".join(f"junk{at}=1" for at in range(9999)),
        "%00%ff=%&&&==",
    ],
)
def test_a_hostile_link_opens_the_page_as_it_is(page, link):
    plain = page("fromLink", "", TABLE, MACHINES, EXAMPLE)["state"]

    opened = page("fromLink", link, TABLE, MACHINES, EXAMPLE)

    machines = opened["state"].pop("machines")
    assert opened["state"] == {name: plain[name] for name in plain if name != "machines"}
    assert machines in (plain["machines"], [])
    assert all(len(problem) < 120 for problem in opened["problems"])


def test_measured_times_stand_beside_what_they_measured(page):
    def time(mask, query_len, key_len, kv_heads, window=None):
        sizes = {"T": query_len, "S": key_len, "H": 8, "Hkv": kv_heads}
        return MACHINES["measured"][0]["times"][0] | sizes | {"mask": mask, "window": window}

    times = [
        time("causal", 256, 256, 8),
        time("causal", 1024, 1024, 8),
        time("none", 1, 8192, 2),
        time("none", 1024, 1024, 8),  # not causal: none of the variants
        time("window", 512, 512, 1, window=64),
        time("key_padding", 1024, 1024, 8),
    ]
    machine = MACHINES["measured"][0] | {"times": times}
    machines = page("machinesAt", {"datasheets": [], "measured": [machine]}, 2)
    listed = {
        (layout.name, visibility.name): [
            (found["phase"], found["time"]["S"], found["remark"])
            for found in page("timesOf", machines, layout.name, visibility.name)
        ]
        for layout, visibility in VARIANTS
    }

    assert {variant: found for variant, found in listed.items() if found} == {
        ("multi", "causal"): [("prefill", 1024, "")],
        ("grouped", "causal"): [("decode", 8192, "")],
        ("single", "window"): [("prefill", 512, "window of 64 on both sides")],
    }


def test_a_machine_says_what_its_products_are(page):
    by_bytes = {
        bytes_: {one["title"]: one for one in page("machinesAt", MACHINES, bytes_)}
        for bytes_ in (1, 2, 4)
    }

    assert by_bytes[4]["H100 SXM"]["products"] == "float32"
    assert by_bytes[4]["H100 SXM"]["flopsPerS"] == 67e12
    assert by_bytes[2]["T4"]["products"] == "float16"
    assert by_bytes[1]["H200 SXM"]["products"] == "bfloat16"
    assert all(one["flopsPerS"] > 0 for machines in by_bytes.values() for one in machines.values())


@pytest.mark.parametrize(
    ("value", "text"),
    [(512, "512 B"), (131072, "131 kB"), (999_499, "999 kB"), (999_500, "1.00 MB")],
)
def test_amounts_have_three_digits(page, value, text):
    assert page("withPrefix", value, "B") == text
