"""Reading results of `bench report`; damage is reported with its field."""

from __future__ import annotations

import json

import pytest

from attnpanel.bench.product.report.results import ReportRun
from attnpanel.bench.run.serialization import ResultFileError, UiRun, read, write
from tests.unit.bench.product.report.sample_run import RUN


def test_a_run_is_read_as_it_was_written(tmp_path):
    write(RUN, tmp_path / "run.json")

    assert read(tmp_path / "run.json", ReportRun) == RUN


def test_a_file_of_another_measurement_is_refused(tmp_path):
    write(RUN, tmp_path / "run.json")

    with pytest.raises(ResultFileError, match=r"must be 'attnpanel\.bench-ui/2'; got"):
        read(tmp_path / "run.json", UiRun)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda row: row.pop("status"),
            "run.rows[1] must have exactly its fields; missing ['status']",
        ),
        (lambda row: row.update(values="yes"), "run.rows[1].values must be of type bool"),
        (lambda row: row.update(head_s=-1.0), "run.rows[1]: head_s must be seconds"),
        (lambda row: row["export"].update(file_bytes=0), "file_bytes must be at least 1; got 0"),
        (lambda row: row["export"].update(cpu_s=[]), "cpu_s must hold finite seconds"),
        (
            lambda row: row["export"].update(extra_peak_bytes=[1.5]),
            "run.rows[1].export.extra_peak_bytes[0] must be of type int; got '1.5'",
        ),
        (
            lambda row: row["openings"][0].update(drawn_cpu_s=-0.5),
            "run.rows[1].openings[0]: drawn_cpu_s must hold finite seconds",
        ),
        (
            lambda row: row["openings"][1].update(errors=[7]),
            "run.rows[1].openings[1].errors[0] must be of type str; got '7'",
        ),
        (
            lambda row: row["changes"][0]["longest_gap_s"].append(0.1),
            ".changes[0]: longest_gap_s and paint_s must have the same length; got 4 and 3",
        ),
        (
            lambda row: row["changes"][0]["interaction"].update(control="mask"),
            "run.rows[1].changes[0].interaction.control must be one of token",
        ),
    ],
)
def test_damage_is_reported_with_its_field(tmp_path, damage, message):
    path = tmp_path / "run.json"
    write(RUN, path)
    content = json.loads(path.read_text())
    damage(content["rows"][1])
    path.write_text(json.dumps(content))

    with pytest.raises(ResultFileError) as caught:
        read(path, ReportRun)

    assert message in str(caught.value)
