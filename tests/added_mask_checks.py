"""What a row of the table of masks brings about: run by test_a_row_adds_a_mask_kind.py."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from attnpanel import make_mask, toy_trace
from attnpanel.attention.mask_table import mask_kinds
from attnpanel.bench.certify.cases import CERTIFICATE_CASES, Case, example_mask
from attnpanel.bench.certify.certificate import certify
from attnpanel.bench.certify.error_map import MapSettings, reference_result
from attnpanel.bench.measure.flop_count import flops, seen_pairs
from attnpanel.bench.run.commands import run_arguments
from attnpanel.bench.run.presets import Timed
from attnpanel.bench.run.serialization import build
from attnpanel.comparison import opening
from attnpanel.explorer.address import apply_address
from attnpanel.explorer.controls import Controls
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.wire_format import make_payload
from attnpanel.kernels import IMPLEMENTATIONS
from attnpanel.kernels.request import Request
from attnpanel.trace import AttentionCall, Trace
from tests.browser_kernel.conftest import node_running
from tests.browser_kernel.explorers import HERE, data_of, opened_page
from tests.unit.kernels.formula import assert_formula, draw

pytestmark = [
    # What Inductor imports uses it.
    pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.*:DeprecationWarning"),
]

KINDS = ("stretches", "strided")
VALUES = {"stretches": {"cuts": (2, 5)}, "strided": {"stride": 3}}
OPTIONS = {kind: tuple(values.items()) for kind, values in VALUES.items()}


def by_hand(kind, query_len, key_len, past=0):
    """The mask cell by cell, as the rows say it in words."""
    rows = np.arange(query_len)[:, None] + past
    keys = np.arange(key_len)[None, :]
    if kind == "strided":
        return (keys <= rows) & ((rows - keys) % 3 == 0)
    stretch = lambda at: (at >= 2).astype(int) + (at >= 5)  # noqa: E731
    return stretch(rows) == stretch(keys)


@pytest.fixture(scope="module")
def trace():
    """Five queries, seven keys, two heads."""
    rng = np.random.default_rng(2)
    query, key, value = (
        rng.standard_normal((1, 2, length, 3)).astype(np.float32) for length in (5, 7, 7)
    )
    call = AttentionCall("layer", 0, query=query, key=key, value=value)
    return Trace([call], query_tokens=[list("abcde")], key_tokens=[list("abcdefg")])


@pytest.fixture(scope="module")
def page():
    with opened_page() as page:
        yield page


def test_the_rows_are_there():
    assert mask_kinds()[-2:] == KINDS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("align", "past"), [("top_left", 0), ("bottom_right", 2)])
def test_make_mask(kind, align, past):
    made = make_mask(kind, 5, 7, align=align, **VALUES[kind])

    np.testing.assert_array_equal(made, by_hand(kind, 5, 7, past))


@pytest.mark.parametrize("kind", KINDS)
def test_the_explorer_chooses_it_and_the_page_says_when_its_number_matters(page, trace, kind):
    ((name, value),) = VALUES[kind].items()
    label = {"cuts": "stretches", "stride": "strided"}[name]
    state = ExplorerState(trace)
    assert page.ask("unavailable", state)[name] == f"It matters under the {label} mask only."

    state.choose(mask=kind, **VALUES[kind])

    assert name not in page.ask("unavailable", state)
    np.testing.assert_array_equal(state.selection.visible, by_hand(kind, 5, 7))
    assert getattr(state, name) == value


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_holds_it(page, trace, kind):
    state = ExplorerState(trace, mask=kind, **VALUES[kind])
    address = page.ask("toAddress", state)

    other = ExplorerState(trace)
    assert apply_address(other, address) == []

    assert page.ask("toAddress", other) == address
    assert address["mask"] == kind
    assert address["cuts" if kind == "stretches" else "every"] in ("2,5", "3")
    assert len(apply_address(other, {"cuts": "5,2"})) == 1


def test_there_are_controls_for_what_it_needs(trace):
    widgets = Controls(ExplorerState(trace, mask="stretches", cuts=(1, 4))).widgets

    assert set(KINDS) <= set(widgets["mask"].options.values())
    assert {"stretches", "strided"} <= set(widgets["mask"].options)
    assert set(VALUES["stretches"]) | set(VALUES["strided"]) <= set(widgets)
    assert widgets["cuts"].value == "1, 4"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("align", ["top_left", "bottom_right"])
def test_the_page_makes_it_says_it_and_links_to_it(page, trace, kind, align):
    state = ExplorerState(trace, mask=kind, align=align, head=1, query_index=4, **VALUES[kind])

    made = page.selected(state)

    np.testing.assert_array_equal(made["visible"].reshape(5, 7), state.selection.visible)
    np.testing.assert_allclose(made["weights"].reshape(5, 7), state.selection.weights, atol=1e-6)
    assert page.ask("masksOf", state) == state.param["mask"].objects
    hidden = int(np.flatnonzero(~state.selection.visible[4])[0])
    state.pair = (4, hidden)
    words = json.dumps(page.ask("sentence", state), ensure_ascii=False)
    number = "stretches mask (cuts 2, 5)" if kind == "stretches" else "strided mask (stride 3)"
    assert f"under the {number}" in words


@pytest.mark.parametrize("kind", KINDS)
def test_no_picture_of_another_number_is_kept(page, trace, kind):
    ((name, value),) = VALUES[kind].items()
    state = ExplorerState(trace, mask=kind, **VALUES[kind])
    before = page.selected(state)["visible"]

    setattr(state, name, (1,) if name == "cuts" else 1)
    after = page.selected(state)["visible"]

    np.testing.assert_array_equal(after.reshape(5, 7), state.selection.visible)
    assert (before != after).any()
    setattr(state, name, value)


def test_a_report_carries_the_rows(trace):
    table = make_payload(trace).meta["masks"]

    assert [row["kind"] for row in table["kinds"]][-2:] == list(KINDS)
    assert json.loads(json.dumps(table)) == table


@pytest.mark.parametrize("kind", KINDS)
def test_a_comparison_offers_it(trace, kind):
    ((name, value),) = VALUES[kind].items()

    state = opening(trace, toy_trace(), choices={"mask": (kind, "none"), name: value, "head": 0})

    assert state["mask"] == [kind, "none"]
    assert state[name] == [list(value)] * 2 if name == "cuts" else [value] * 2
    assert state["apart"] == ["mask"]


def test_a_comparison_on_the_page_offers_it(trace):
    with node_running(HERE / "comparing.mjs") as page:
        page("showTwo", data_of(trace), data_of(trace))
        given = opening(trace, trace, choices={"mask": "stretches", "cuts": (2, 5), "head": 0})

        made = page("comparedTwo", given)

        state = ExplorerState(trace, mask="stretches", cuts=(2, 5))
        np.testing.assert_allclose(
            made["first"].reshape(5, 7), state.selection.weights, rtol=0, atol=1e-6
        )
        assert page("fittedTwo", {**given, "cuts": [[2, 99], [2, 99]]})["cuts"] == [[2], [2]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [(5, 5), (5, 11), (11, 5)])
def test_the_bench_counts_its_pairs(kind, lengths):
    request = Request(1, 3, 1, *lengths, 2, 2, mask=kind, mask_options=OPTIONS[kind])

    pairs = int(by_hand(kind, *lengths).sum())
    assert seen_pairs(request, 0) == pairs
    assert flops(request) == pairs * 3 * 2 * 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_bench_times_certifies_and_keeps_it(kind):
    case = Timed(T=(16,), masks=(kind,)).cases("cpu")[0]
    name = {"stretches": "cuts 4,8", "strided": "stride 3"}[kind]
    assert case.name.startswith(f"{kind} {name} B1")
    kept = json.loads(json.dumps({"request": vars(case.request), "kind": "randn", "seed": 0}))
    assert build(Case, kept, "case") == case

    parser = argparse.ArgumentParser()
    run_arguments(parser)
    assert parser.parse_args(["--mask", kind]).mask == [kind]
    assert sum(one.request.mask == kind for one in CERTIFICATE_CASES) > 5
    assert reference_result(MapSettings(mask=kind)).visible.sum() < 32 * 32


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "implementation",
    [
        pytest.param(one, id=one.name)
        for one in IMPLEMENTATIONS
        if not one.compiles or one.name == "torch-flex"  # traced only, it takes no minutes
    ],
)
def test_every_implementation_computes_it_or_says_why_not(kind, implementation):
    case = Case(Request(2, 3, 3, 5, 7, 11, 11, **example_mask(kind, 5, 7, 2)))
    can_run = not implementation.unsupported(case.request)
    if can_run and implementation.compiles:
        # Some checks of a certificate have other shapes, each traced anew.
        assert_formula(implementation, draw(case.request), case.request)
        return

    agreement = certify(implementation, case)

    assert agreement.verdict in ("pass", "unsupported", "graded"), agreement.reasons
    assert agreement.verdict == "pass" or all(agreement.reasons)
