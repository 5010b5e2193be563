"""The notebook's numbers, every case, through the public functions."""

import json
from pathlib import Path

import numpy as np
import pytest

import attnpanel

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "notebook_attention.json").read_text())
CASES = GOLDEN["cases"]
# Both sides compute in float64 from the same draws; only the order of summation may differ.
TOLERANCE = {"rtol": 0, "atol": 1e-12}


def name(case):
    return "-".join(str(case[part]) for part in ("seed", "mask", "head", "token", "temperature"))


def picked(per_head, head):
    return per_head.mean(axis=0) if head == "avg" else per_head[head]


def notebook_colours(case, value):
    return picked(attnpanel.rgb_from_values(value, case["color_seed"]), case["head"])


def test_the_golden_file_holds_the_cases_it_was_recorded_with():
    assert len(CASES) == 6
    assert {case["mask"] for case in CASES} == {"none", "causal", "padding"}
    assert {case["head"] for case in CASES} >= {"avg", 0}


@pytest.mark.parametrize("case", CASES, ids=name)
def test_attend_gives_the_notebooks_weights_and_mixed_colour(case):
    query, key, value = attnpanel.make_toy_data(
        case["T"], case["d_model"], case["heads"], case["seed"]
    )
    mask = attnpanel.make_mask(case["mask"], case["T"], pad_len=case["pad_len"])

    result = attnpanel.attend(
        query, key, value, mask=mask, temperature=case["temperature"], empty_rows="uniform"
    )

    row = picked(result.weights, case["head"])[case["token"]]
    np.testing.assert_allclose(row, case["weight_row"], **TOLERANCE)
    mixed = row @ notebook_colours(case, value)
    np.testing.assert_allclose(mixed, case["mixed_rgb"], **TOLERANCE)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_rgb_from_values_gives_the_notebooks_colours(case):
    _, _, value = attnpanel.make_toy_data(case["T"], case["d_model"], case["heads"], case["seed"])

    np.testing.assert_allclose(notebook_colours(case, value), case["colors"], **TOLERANCE)
