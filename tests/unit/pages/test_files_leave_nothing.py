"""Files are written again and again by a server: nothing of one stays in memory."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models import ImportedStyleSheet

from attnpanel.models.toy import toy_trace
from attnpanel.pages.exercises.page import ExercisesPage
from attnpanel.pages.explorer.report import save_report
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.variants.report import save_variants

TRACE = toy_trace()


def write_answer(path):
    path.write_bytes(ExercisesPage(ServerSettings(), {})._make_report().content())


# Not those whose plots HoloViews renders anew: it keeps them (comparisons, training reports).
WRITERS = {
    "report": lambda path: save_report(TRACE, path),
    "answer": write_answer,
    "variants": save_variants,
}


def held() -> Counter:
    """The documents and models that something still refers to, by the names of their classes.

    Panel keeps a few names of style sheets a file, which take a kilobyte.
    """
    gc.collect()
    kinds = [type(one) for one in gc.get_objects() if isinstance(one, (Document, Model))]
    return Counter(kind.__name__ for kind in kinds if kind is not ImportedStyleSheet)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_was_written_leaves_no_model_behind(name, tmp_path):
    write, path = WRITERS[name], tmp_path / "file.html"
    write(path)  # fills the caches
    before = held()
    write(path)
    write(path)

    assert held() - before == Counter()
