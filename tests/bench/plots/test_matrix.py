from __future__ import annotations

from dataclasses import replace

import pytest

from attnpanel.theme import DARK, LIGHT
from bench.plots.matrix import (
    FAILED,
    MOST_COLUMNS,
    cell_text,
    matrix_columns,
    matrix_of,
)
from tests.bench.hand_made_runs import SPEEDS, UNTIMED, certificate_cases, made_run


@pytest.fixture(scope="module")
def matrix():
    return matrix_of(made_run())


def test_every_certificate_has_its_cell(matrix):
    assert matrix.implementations == (*SPEEDS, UNTIMED)
    assert matrix.cases == certificate_cases()
    assert len(matrix.cells) == 12 * 17
    for (row, column), agreement in matrix.cells.items():
        assert agreement.implementation == matrix.implementations[row]
        assert agreement.case == matrix.cases[column].name


def test_labels_say_what_tells_a_case_from_the_others(matrix):
    assert matrix.labels[:4] == ("plain", "causal", "causal ↘", "window")
    assert "τ 0.01" in matrix.labels
    assert len(set(matrix.labels)) == len(matrix.labels)


def test_a_verdict_is_told_by_more_than_colour(matrix):
    agreements = matrix.cells.values()
    worst = {one.verdict: one for one in agreements}

    assert cell_text(worst["fail"], narrow=False) == "✕106"
    assert cell_text(worst["fail"], narrow=True) == "✕"
    assert cell_text(worst["error"], narrow=False) == "err"
    fake = next(one for one in agreements if one.basis == "fake")
    assert cell_text(fake, narrow=False) == "◇"  # checked without its device
    assert cell_text(replace(fake, verdict="pass"), narrow=True) == "◇"
    assert cell_text(replace(fake, checks=()), narrow=False) == "–"
    assert cell_text(replace(worst["pass"], max_ratio=3.14), narrow=False) == "3.1"
    assert cell_text(replace(worst["pass"], max_ratio=3.14), narrow=True) == "3"


def test_a_check_other_than_the_ratio_fails_with_a_cross_alone(matrix):
    failed = next(one for one in matrix.cells.values() if one.verdict == "fail")

    assert cell_text(replace(failed, max_ratio=0.4), narrow=False) == "✕"


def test_both_looks_have_readable_cells(matrix):
    columns = matrix_columns(matrix)

    def luminance(colour):
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for name, look in (("light", LIGHT), ("dark", DARK)):
        for fill, ink, text in zip(
            columns[f"fill@{name}"], columns[f"color@{name}"], columns["text"], strict=True
        ):
            dim, bright = sorted([luminance(fill), luminance(ink)])
            # The two marks of what wasn't computed are large and say no number.
            assert (bright + 0.05) / (dim + 0.05) >= (3 if text in "–◇" else 4.5), (look, fill, ink)


def test_failures_alone_have_their_colour(matrix):
    columns = matrix_columns(matrix)
    failed = [
        text
        for text, fill in zip(columns["text"], columns["fill@dark"], strict=True)
        if fill == FAILED
    ]

    assert failed == ["✕106"]


def test_a_file_of_thousands_of_cases_is_cut_and_says_so(matrix):
    run = made_run()
    case, agreement = run.cases[0], run.agreements[0]
    many = [replace(case, seed=seed) for seed in range(1000)]
    run = replace(
        run,
        cases=tuple(many),
        agreements=tuple(replace(agreement, case=one.name) for one in many),
        timings=(),
    )

    assert len(matrix_of(run).cases) == MOST_COLUMNS
    assert matrix_of(run).left_out == 1000 - MOST_COLUMNS
