import re

import pytest

from attnpanel.pages.lab.curves import COLOURS
from attnpanel.pages.lab.report import save_training_report
from attnpanel.training.records import RunStoreError

HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_a_report_holds_curves_pictures_settings_and_notes_and_nothing_runs(store, add, tmp_path):
    first, second = add("one" + HOSTILE[:40]), add("base", attends=False)

    path = save_training_report(
        store, [second, first], tmp_path / "r.html", notes=f"I saw it.\n\n{HOSTILE}"
    )

    page = path.read_text()
    assert "<img src=x" not in page
    for said in (
        "I saw it.",
        "lab:accuracy:lines",
        "[[0.125, 0.25], [0.0, 0.1]]",
        "d_model 8",
    ):
        assert said in page
    # The legend, each run as its curve is drawn; as JSON holds it.
    chips = re.findall(r"lab-chip( dashed)?&#x27; style=&#x27;background: (#\w+)", page)
    assert chips == [("", COLOURS[0]), (" dashed", COLOURS[1])]


def test_a_report_of_no_run_too_many_or_a_deleted_one_is_refused(store, add, tmp_path):
    number = add("one")
    path = tmp_path / "r.html"
    path.write_text("older")
    with pytest.raises(ValueError, match="shows 1 to 8 runs; got 0"):
        save_training_report(store, [], path)
    with pytest.raises(ValueError, match="shows 1 to 8 runs; got 9"):
        save_training_report(store, range(9), path)
    with pytest.raises(ValueError, match="notes may have at most 20,000"):
        save_training_report(store, [number], path, notes="x" * 20_001)
    with pytest.raises(RunStoreError, match="no run 99"):
        save_training_report(store, [99], path)
    with pytest.raises(FileNotFoundError, match="a folder that exists"):
        save_training_report(store, [number], tmp_path / "gone" / "r.html")

    assert path.read_text() == "older"


def test_the_page_makes_a_report_of_what_is_drawn(page, add):
    assert page._make_report() is None
    assert "tick one first" in page.notice.text
    number = add("drawn and followed")
    page.refresh()
    page.notes.value = "My answer."

    made = page._make_report().content().decode()

    assert "My answer." in made
    assert "drawn and followed" in made
    assert page._followed == number
