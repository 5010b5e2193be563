from __future__ import annotations

from dataclasses import replace

import pytest

from attnpanel.bench.plots.matrix import (
    FAILED,
    MAX_COLUMNS,
    cell_text,
    matrix_columns,
    matrix_of,
)
from attnpanel.ui.theme import DARK, LIGHT
from tests.unit.bench.run.sample_runs import SPEEDS, UNTIMED, certificate_cases, sample_run


@pytest.fixture(scope="module")
def matrix():
    return matrix_of(sample_run())


def test_every_certificate_has_its_cell(matrix):
    assert matrix.implementations == (*SPEEDS, UNTIMED)
    assert matrix.cases == certificate_cases()
    assert len(matrix.cells) == 12 * 17
    for (row, column), agreement in matrix.cells.items():
        assert agreement.implementation == matrix.implementations[row]
        assert agreement.case == matrix.cases[column].name


def test_labels_show_how_a_case_differs(matrix):
    assert matrix.labels[:4] == ("plain", "causal", "causal ↘", "window")
    assert "τ 0.01" in matrix.labels
    assert len(set(matrix.labels)) == len(matrix.labels)


def test_a_verdict_is_not_shown_by_colour_alone(matrix):
    agreements = matrix.cells.values()
    worst = {agreement.verdict: agreement for agreement in agreements}

    assert cell_text(worst["fail"], narrow=False) == "✕106"
    assert cell_text(worst["fail"], narrow=True) == "✕"
    assert cell_text(worst["error"], narrow=False) == "err"
    fake = next(agreement for agreement in agreements if agreement.basis == "fake")
    assert cell_text(fake, narrow=False) == "◇"  # checked without its device
    assert cell_text(replace(fake, verdict="pass"), narrow=True) == "◇"
    assert cell_text(replace(fake, checks=()), narrow=False) == "–"
    assert cell_text(replace(worst["pass"], max_ratio=3.14), narrow=False) == "3.1"
    assert cell_text(replace(worst["pass"], max_ratio=3.14), narrow=True) == "3"


def test_a_failure_without_a_large_error_shows_only_a_cross(matrix):
    failed = next(cell for cell in matrix.cells.values() if cell.verdict == "fail")

    assert cell_text(replace(failed, max_ratio=0.4), narrow=False) == "✕"


def test_cells_are_readable_in_both_themes(matrix):
    columns = matrix_columns(matrix)

    def luminance(colour):
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    for name, theme in (("light", LIGHT), ("dark", DARK)):
        for fill, ink, text in zip(
            columns[f"fill@{name}"], columns[f"color@{name}"], columns["text"], strict=True
        ):
            dim, bright = sorted([luminance(fill), luminance(ink)])
            # The two marks of what wasn't computed are large and say no number.
            assert (bright + 0.05) / (dim + 0.05) >= (3 if text in "–◇" else 4.5), (
                theme,
                fill,
                ink,
            )


def test_only_failures_have_the_failure_colour(matrix):
    columns = matrix_columns(matrix)
    failed = [
        text
        for text, fill in zip(columns["text"], columns["fill@dark"], strict=True)
        if fill == FAILED
    ]

    assert failed == ["✕106"]


def test_a_file_of_thousands_of_cases_is_truncated_with_a_note(matrix):
    run = sample_run()
    case, agreement = run.cases[0], run.agreements[0]
    many = [replace(case, seed=seed) for seed in range(1000)]
    run = replace(
        run,
        cases=tuple(many),
        agreements=tuple(replace(agreement, case=case.name) for case in many),
        timings=(),
    )

    assert len(matrix_of(run).cases) == MAX_COLUMNS
    assert matrix_of(run).left_out == 1000 - MAX_COLUMNS
