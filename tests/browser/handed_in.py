"""Pytest plugin: a report, an answer and a comparison of the toy, and variants, as files.

Use it by ``pytest_plugins = ["tests.browser.handed_in"]``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from attnpanel.models.toy import toy_trace
from attnpanel.pages.compare.report import save_comparison
from attnpanel.pages.exercises.page import ExercisesPage
from attnpanel.pages.explorer.report import save_report
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.variants.report import save_variants


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files by name: report, answer, comparison and variants."""
    folder, trace = tmp_path_factory.mktemp("files"), toy_trace()
    made = {
        name: folder / f"{name}.html" for name in ("report", "answer", "comparison", "variants")
    }
    save_report(trace, made["report"], notes="# Notes\n\nIn *Markdown*.")
    answer = ExercisesPage(ServerSettings(), {})._make_report()
    assert answer is not None
    made["answer"].write_bytes(answer.content())
    save_comparison(trace, trace, made["comparison"], head=(0, 1))
    save_variants(made["variants"])
    return made
