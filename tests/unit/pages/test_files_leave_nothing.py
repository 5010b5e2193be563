"""Files are written again and again by a server: nothing of one stays in memory."""

from __future__ import annotations

import gc
from collections import Counter

import pytest
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models import ImportedStyleSheet

from attnpanel.bench.page import error_card
from attnpanel.bench.page.export import save_run_report
from attnpanel.kernels import IMPLEMENTATIONS
from attnpanel.models.toy import toy_trace
from attnpanel.pages.compare.report import save_comparison
from attnpanel.pages.exercises.page import ExercisesPage
from attnpanel.pages.explorer.report import save_report
from attnpanel.pages.lab.report import save_training_report
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.variants.report import save_variants
from attnpanel.training.records import Point
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore
from tests.unit.bench.run.sample_runs import sample_run

TRACE = toy_trace()


def write_answer(path):
    path.write_bytes(ExercisesPage(ServerSettings(), {})._make_report().content())


def write_run(path):
    with pytest.MonkeyPatch.context() as patch:
        few = [one for one in IMPLEMENTATIONS if one.framework == "numpy"]
        patch.setattr(error_card, "IMPLEMENTATIONS", few)  # all of them take 20 s
        save_run_report(sample_run(), path)


def write_training(path):
    path.with_suffix(".sqlite3").unlink(missing_ok=True)
    store = RunStore(path.with_suffix(".sqlite3"))
    number = store.create(TrainingSettings(heads=2, d_model=8, steps=30), "one")
    store.record(number, "training", 0, 1.5, [Point(0, 2.0, 0.1, 0.2)], [])
    save_training_report(store, [number], path)


WRITERS = {
    "bench": write_run,
    "comparison": lambda path: save_comparison(TRACE, TRACE, path),
    "training": write_training,
    "report": lambda path: save_report(TRACE, path),
    "answer": write_answer,
    "variants": save_variants,
}


def held() -> Counter:
    """The documents and models that something still refers to, by the names of their classes.

    Panel keeps a few names of style sheets a file, which take a kilobyte.
    """
    gc.collect()
    kinds = map(type, gc.get_objects())  # isinstance() would ask torch's stand-ins
    held = [kind for kind in kinds if issubclass(kind, (Document, Model))]
    return Counter(kind.__name__ for kind in held if kind is not ImportedStyleSheet)


@pytest.mark.thorough(but=2)
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_was_written_leaves_no_model_behind(name, tmp_path):
    write, path = WRITERS[name], tmp_path / "file.html"
    write(path)  # fills the caches
    before = held()
    write(path)

    assert held() - before == Counter()
