"""Certificates of functions: verdict, scope, digest, page and badge, and the command."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from attnpanel.bench import certify
from attnpanel.bench.__main__ import main
from attnpanel.bench.certify import examination, judgement, serving
from attnpanel.bench.certify.badge import badge_svg, badge_words
from attnpanel.bench.certify.cases import PRIMES, SQUARE, Case
from attnpanel.bench.certify.certificate import CHECKS
from attnpanel.bench.certify.document import digest_of, read_certificate, reference_error_units
from attnpanel.bench.certify.document_command import save_certificate, summary
from attnpanel.bench.certify.document_html import CHECKS_IN_WORDS, certificate_html
from attnpanel.bench.certify.subject import Subject, describe_subject, load_subject, name_of
from attnpanel.bench.run.serialization import ResultFileError
from attnpanel.bench.run.timed_results import RefusedError
from attnpanel.bench.run.worker import Worker
from attnpanel.kernels import find_implementation
from tests.unit.bench.certify import plain_functions as functions

MODULE = "tests.unit.bench.certify.plain_functions"
CASES = [
    Case(SQUARE),
    Case(replace(SQUARE, mask="causal")),
    Case(replace(PRIMES, mask="key_padding", pad_lens=(3, 7))),
    Case(replace(SQUARE, dtype="float16", bias=True)),
]


@pytest.fixture(autouse=True)
def few_cases(monkeypatch):
    monkeypatch.setattr(examination, "select_cases", lambda _which: CASES)
    monkeypatch.setattr(examination, "measure_invariance", lambda *_, **__: ())


@pytest.fixture(scope="module")
def passing():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examination, "select_cases", lambda _which: CASES)
        return certify(functions.numpy_attention, seed=7)


def hostile(certificate, text):
    """Return the certificate with a text in every place that a subject, or a file, fills."""
    case = replace(
        certificate.cases[0], case=text, reasons=(text,), verdict="fail", dtype=text, units=9.0
    )
    return replace(
        certificate,
        subject=Subject(text, text, text, text, text),
        framework=text,
        properties={text: text},
        summary=text,
        scope=(text,),
        not_covered=(text,),
        cases=(case,),
        margins=(replace(certificate.margins[0], case=text, dtype=text),),
        checks=(replace(certificate.checks[0], name=text),),
        invariances=(replace(certificate.invariances[0], dtype=text, reason=text, result="error"),),
        environment=replace(certificate.environment, cpu_model=text, versions={text: text}),
        command=text,
    )


def test_correct_function_is_certified_with_what_it_does_not_take(passing):
    assert passing.verdict == "pass"
    assert passing.summary == "Computes attention in all 3 cases that it takes."
    assert [case.verdict for case in passing.cases] == ["pass", "pass", "pass", "unsupported"]
    assert passing.not_covered[0] == "a bias is declined: it takes no keyword bias (1 cases)"
    assert passing.properties["a query without keys"] == "zero"
    assert passing.scope[0] == "3 cases in float32, on cpu."


def test_every_case_has_the_seed_that_was_given(passing):
    assert passing.seed == 7
    assert all(case.case.endswith("seed 7") for case in passing.cases)
    assert passing.command == (f"attnpanel bench certify {MODULE}:numpy_attention --seed 7")


def test_seed_is_drawn_anew_by_default():
    seeds = {certify(functions.float32_only).seed for _ in range(2)}

    assert len(seeds) == 2
    with pytest.raises(ValueError, match="seed must be at least 0; got -1"):
        certify(functions.float32_only, seed=-1)


def test_no_case_is_an_error_and_no_certificate():
    with pytest.raises(ValueError, match=r"must be all or few, in a dtype that there is; got all"):
        certify(functions.float32_only, dtypes=["float64"])


def test_margin_is_the_largest_error_and_its_place(passing):
    (margin,) = passing.margins

    units = {case.case: case.units for case in passing.cases if case.units is not None}
    assert (margin.units, margin.limit) == (max(units.values()), 8)
    assert units[margin.case] == margin.units
    assert len(margin.worst) == 4
    assert margin.passed == 3


def test_wrong_function_fails_and_one_that_raises_later_is_an_error():
    wrong = certify(functions.ignores_mask, seed=1)
    assert wrong.verdict == "fail"
    assert wrong.summary == "Is wrong in 1 of 3 cases."
    assert next(check for check in wrong.checks if check.name == "output").failed == 1

    def raises_on_masks(query, key, value, *, mask=None, scale=1.0, is_causal=False):
        if mask is not None and key.shape[2] == 7 and query.shape[3] == 11:
            raise KeyError("no plan")
        return functions.numpy_attention(
            query, key, value, mask=mask, scale=scale, is_causal=is_causal
        )

    found = certify(raises_on_masks, seed=1)
    assert found.verdict == "error"
    assert found.summary == "Raised or ended in 1 of 3 cases."
    assert found.command == ""  # it is in no module


def test_output_that_is_not_finite_has_no_number_and_is_said_to_be():
    def spoiled(query, key, value, *, mask=None, scale=1.0, is_causal=False):
        output = functions.numpy_attention(
            query, key, value, mask=mask, scale=scale, is_causal=is_causal
        )
        return output * np.float32(np.nan) if is_causal else output

    found = certify(spoiled, seed=1, dtypes=["float32"])

    (margin,) = found.margins
    assert (margin.passed, margin.not_finite) == (2, 1)
    assert margin.units < 8
    words = "".join(parsed(certificate_html(found)).text)
    assert "Not finite in 1 cases" in words
    assert "Largest other error" in words


def test_nothing_certified_is_no_pass():
    found = certify(functions.float32_only, dtypes=["float16"])

    assert found.verdict == "error"
    assert found.summary == "Nothing was certified: it takes none of the cases."


def test_implementation_has_a_certificate_too():
    found = certify(find_implementation("numpy-online"), dtypes=["float32"])

    assert found.verdict == "pass"
    assert found.subject.kind == "implementation"
    assert found.subject.file == "online.py"
    assert found.command.startswith("attnpanel bench certify numpy-online --dtype float32 --seed")


def test_what_is_graded_is_not_certified_and_says_so():
    found = certify(find_implementation("numpy-int8-scores"))

    assert found.verdict == "error"
    assert found.summary.startswith("Nothing was certified: it is graded, in 4 cases")


def test_what_an_interpreter_computed_does_not_cover_compiled_code():
    interpreted = replace(find_implementation("numpy-online"), interpreted_on=("cpu",))
    found = certify(interpreted)

    assert found.verdict == "pass"
    assert any(words.startswith("Compiled code: an interpreter") for words in found.not_covered)


def test_laws_of_serving_are_measured_in_the_dtypes_that_passed(passing, monkeypatch):
    assert {found.dtype for found in passing.invariances} == {"float32"}
    asked = []
    monkeypatch.setattr(
        examination, "measure_invariance", lambda _, dtype, **__: asked.append(dtype) or ()
    )
    certify(functions.ignores_mask, dtypes=["float16"])
    assert asked == []


def test_source_is_hashed_with_its_file_and_another_source_has_another_hash():
    first, second = (
        describe_subject(function, "name")
        for function in (functions.numpy_attention, functions.torch_attention)
    )
    assert first.file == "plain_functions.py"
    assert first.file_sha256 == second.file_sha256
    assert first.source_sha256 != second.source_sha256
    compiled = describe_subject(len, "name")
    assert (compiled.source_sha256, compiled.file_sha256) == (None, None)


def test_names_are_those_by_which_subjects_are_found():
    for subject in (functions.eager, find_implementation("numpy-naive")):
        assert load_subject(name_of(subject)) is subject
    assert name_of(functions.model) == f"{MODULE}:Model"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        (f"{MODULE}:nowhere", ImportError, "cannot be imported: AttributeError"),
        ("no_such_module:fn", ImportError, "cannot be imported: ModuleNotFoundError"),
        (f"{MODULE}:NOT_CALLABLE", TypeError, "must be a function or an Implementation; got int"),
        ("nothing", ValueError, "an implementation must be one of"),
    ],
)
def test_what_can_not_be_certified_is_one_error(name, error, words):
    with pytest.raises(error, match=words):
        load_subject(name)


def test_file_is_read_back_and_a_change_of_it_is_found(passing, tmp_path):
    path = tmp_path / "made.json"
    save_certificate(passing, path)

    assert read_certificate(path) == passing
    assert passing.digest == digest_of(passing)
    content = json.loads(path.read_text())
    content["margins"][0]["units"] /= 2
    path.write_text(json.dumps(content))
    with pytest.raises(ResultFileError, match="was changed since it was written"):
        read_certificate(path)


def test_reference_is_far_more_exact_than_what_it_judges():
    # float64 has 29 bits more than float32: 2^-29 is 1.9e-9.
    assert 0 < reference_error_units() < 1e-8


class Collector(HTMLParser):
    """The elements, ids and text of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, text):
        self.text.append(text)


def parsed(page):
    collector = Collector()
    collector.feed(page)
    return collector


def test_page_shows_whatever_a_certificate_holds_as_text(passing):
    text = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    page = parsed(certificate_html(hostile(passing, text)))

    assert not {"script", "img", "iframe", "link"}.intersection(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in "".join(page.text)
    assert page.tags.count("style") == 1


def test_page_needs_no_network_and_says_what_is_judged_and_what_is_not(passing):
    page = certificate_html(passing)

    assert "http://" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "https://" not in page
    assert "default-src 'none'" in page
    titles = ("What was judged", "What is not covered", "Margins", "Checks", "Repeat it")
    words = "".join(parsed(page).text)
    for part in (*titles, passing.command, passing.digest, passing.subject.source_sha256):
        assert part in words
    assert "Failures" not in words


def test_page_has_words_for_every_check():
    assert CHECKS_IN_WORDS.keys() >= {name for name, _ in CHECKS}


def test_failures_are_shown_with_their_reasons():
    page = "".join(parsed(certificate_html(certify(functions.ignores_mask, seed=1))).text)

    assert "Failures" in page
    assert "key_padding pad 3,7" in page
    assert "units of rounding error pass; got" in page


@pytest.mark.parametrize(
    ("verdicts", "verdict", "words"),
    [
        (["pass", "unsupported", "pass"], "pass", "certified in 2 cases"),
        (["pass", "fail", "unsupported"], "fail", "wrong in 1 of 2 cases"),
        (["unsupported"], "error", "not certified"),
    ],
)
def test_badge_says_the_verdict(passing, verdicts, verdict, words):
    cases = tuple(replace(passing.cases[0], verdict=one) for one in verdicts)
    found = replace(passing, cases=cases, verdict=verdict)

    assert badge_words(found) == words
    picture = ET.fromstring(badge_svg(found))
    assert picture.get("aria-label") == f"attention: {words}"


def test_summary_has_no_control_characters(passing):
    assert "\x1b" not in summary(hostile(passing, "\x1b[31mred"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda worker: worker.describe("cpu"),
        lambda worker: worker.certify(CASES[0]),
        lambda worker: worker.invariance("cpu", "float32"),
        lambda worker: worker.certify_gradients(CASES[0]),
    ],
)
def test_function_that_replaces_its_judge_is_refused(ask, monkeypatch):
    monkeypatch.setattr(serving, "SHAPES", serving.SHAPES[:1])
    worker = Worker("torch-sdpa-math", 1)
    monkeypatch.setattr(judgement, "judge", lambda *_, **__: None)

    with pytest.raises(
        RefusedError, match=r"attnpanel\.bench\.certify\.judgement\.judge was replaced"
    ):
        ask(worker)


@pytest.mark.thorough
@pytest.mark.slow  # processes of their own
def test_command_writes_three_files_and_exits_with_0(tmp_path, capsys):
    base = tmp_path / "made"
    arguments = ["certify", f"{MODULE}:numpy_attention", "--dtype", "float32", "--seed", "3"]

    assert main([*arguments, "-o", str(base)]) == 0

    assert "PASS. Computes attention in all 3 cases" in capsys.readouterr().out
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".html", ".svg"}
    found = read_certificate(base.with_suffix(".json"))
    assert found.verdict == "pass"
    assert {one.law for one in found.invariances} >= {"batch", "decode"}
    # Another file is not overwritten.
    assert main([*arguments, "-o", str(base.with_suffix(".json"))]) == 1
    assert "made.json exists" in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.slow  # processes of their own
def test_crash_in_a_case_is_its_verdict_and_the_others_are_certified(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        examination,
        "select_cases",
        lambda _: [Case(SQUARE), Case(replace(SQUARE, query_len=7, key_len=7, mask="causal"))],
    )
    name = f"{MODULE}:aborts_when_causal"

    assert main(["certify", name, "--dtype", "float32", "-o", str(tmp_path / "made")]) == 1

    assert f"{name} is not certified: Raised or ended in 1 of 2" in capsys.readouterr().err
    found = read_certificate(tmp_path / "made.json")
    assert [case.verdict for case in found.cases] == ["pass", "error"]
    assert found.cases[1].reasons[0].startswith("crashed: ended by signal 6 (SIGABRT)")


@pytest.mark.thorough
@pytest.mark.slow  # processes of their own
def test_function_that_fails_at_once_is_one_line(capsys, tmp_path):
    assert main(["certify", f"{MODULE}:raises", "-o", str(tmp_path / "made")]) == 1

    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"bench: {MODULE}:raises is not certified: error: FunctionError")
    assert list(tmp_path.iterdir()) == []
