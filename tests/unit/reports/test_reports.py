"""The ready-made reports: the table, the command line, and the numbers in their texts."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import parse_qsl

import numpy as np
import pytest

from attnpanel.comparison import heads_by_change
from attnpanel.explorer.address import apply_address
from attnpanel.explorer.state import ExplorerState
from attnpanel.models.continuation import WritingChoices
from attnpanel.models.toy import toy_trace
from reports import benchmark, live_decoder, live_prompt, real_prompt, toy_lesson, two_prompts
from reports.__main__ import main
from reports.table import REPORTS, Report

NAMES = [report.name for report in REPORTS]
LINK = re.compile(r"\]\(#([^)]*)\)")


def test_every_module_has_its_row(root):
    files = {path.stem for path in root.glob("reports/*.py")}

    assert files - {"__init__", "__main__", "table", "trained"} == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


def write(path, title):
    """Build a report of one line."""
    path.write_text(title, encoding="utf-8")
    return path


def test_a_row_alone_adds_a_report(monkeypatch, tmp_path, capsys):
    row = Report("fake", "A fake report", "A purpose.", write)
    monkeypatch.setattr("reports.__main__.REPORTS", (*REPORTS, row))

    assert main(["fake", "-o", str(tmp_path)]) == 0

    assert (tmp_path / "fake.html").read_text(encoding="utf-8") == "A fake report"
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<a href="fake.html">A fake report</a>' in index
    assert "A purpose." in index
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "fake" in capsys.readouterr().out


@pytest.fixture
def quick(monkeypatch):
    """Two reports of one line each, for tests of the command line."""
    rows = (Report("one", "A & <b>", "What <i> is.", write), Report("two", "T", "P", write))
    monkeypatch.setattr("reports.__main__.REPORTS", rows)


def test_all_are_built_and_listed_with_their_sizes(quick, tmp_path, capsys):
    folder = tmp_path / "new" / "folder"

    assert main(["-o", str(folder)]) == 0

    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "one.html", "two.html"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder / 'one.html'}: 0.0 kB"
    assert lines[-1].startswith(f"{folder / 'index.html'}: ")


def test_only_the_named_are_built_and_the_index_lists_what_is_there(quick, tmp_path):
    main(["two", "-o", str(tmp_path)])
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "two.html" in index
    assert "one.html" not in index

    main(["one", "-o", str(tmp_path)])

    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert index.index("one.html") < index.index("two.html")


def test_the_index_is_escaped_and_fetches_nothing(quick, tmp_path):
    main(["-o", str(tmp_path)])

    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "A &amp; &lt;b&gt;" in index
    assert "What &lt;i&gt; is." in index
    assert "http" not in index
    assert "<script" not in index


def test_an_unknown_name_is_an_error_that_lists_the_names(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["nosuch", "-o", str(tmp_path / "new")])

    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "no report is called 'nosuch'; there are " + ", ".join(NAMES) in said
    assert not (tmp_path / "new").exists()


def test_what_goes_wrong_is_one_line(quick, tmp_path, capsys):
    (tmp_path / "file").write_text("")

    assert main(["-o", str(tmp_path / "file")]) == 1

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("reports: ")
    assert err.count("\n") == 1


def assert_links_restore_a_state(notes, trace):
    links = LINK.findall(notes)
    assert links
    for link in links:
        state = ExplorerState(trace)
        assert apply_address(state, dict(parse_qsl(link))) == [], link


@pytest.mark.slow
@pytest.mark.model
def test_every_text_to_try_is_opened_where_it_has_a_token():
    links = LINK.findall(live_prompt.notes(live_prompt.trace_prompt(live_prompt.PROMPT)))
    assert len(links) == len(live_prompt.AMBIGUOUS) + 2
    for link in links:
        choices = dict(parse_qsl(link))
        state = ExplorerState(live_prompt.trace_prompt(choices.pop("prompt")))
        assert apply_address(state, choices) == [], link


def test_every_text_to_write_on_can_be_followed():
    links = LINK.findall(live_decoder.notes(1.5))
    assert len(links) == 4
    for link in links:
        choices = dict(parse_qsl(link))
        assert choices["prompt"] in (live_decoder.PROMPT, live_decoder.STRANGE)
        written = WritingChoices.parse(choices["write"])
        assert len(choices["prompt"]) + written.count <= live_decoder.LIMIT
        assert written.top_k <= 257  # a byte, or the end


def test_every_experiment_of_the_lesson_can_be_clicked():
    trace = toy_trace()

    assert_links_restore_a_state(toy_lesson.notes(trace), trace)


def test_the_lessons_numbers_are_its_traces():
    trace = toy_trace(T=7, d_model=6, heads=2, seed=1)
    said = toy_lesson.notes(trace)

    assert "7 tokens, called t0 to t6" in said
    assert "it would be 14.3%, one in 7" in said
    assert "ln 7 = 1.95" in said
    assert "q·k / √3" in said
    row = trace.calls[0].weights(0)[5]
    assert f"its largest weight, {row.max():.1%}, to t{row.argmax()}" in said
    assert toy_lesson.notes(toy_trace(seed=1)) != toy_lesson.notes(toy_trace())


def test_the_lesson_is_built(tmp_path):
    assert main(["toy_lesson", "-o", str(tmp_path)]) == 0

    text = (tmp_path / "toy_lesson.html").read_text(encoding="utf-8")
    assert "<title>Attention in eight tokens</title>" in text
    assert "Questions" in text


@pytest.mark.model
def test_the_prompt_opens_where_it_finds_what_it_stands_for(tmp_path):
    path = real_prompt.build(tmp_path / "a.html", "T")

    text = path.read_text(encoding="utf-8")
    for opened in ('["layer", 3]', '["head", 1]', '["query_index", 11]'):
        assert opened in text


@pytest.mark.model
def test_the_prompts_numbers_are_its_traces():
    trace = real_prompt.trace_prompt(real_prompt.PROMPT)
    said = real_prompt.notes(trace)
    row = trace.calls[3].weights(1)[11]
    tokens = trace.query_tokens[0]

    assert f"**{row.max():.0%}** of its weight to “{tokens[row.argmax()]}”" in said
    assert_links_restore_a_state(said, trace)


@pytest.fixture(scope="module")
def pair():
    return two_prompts.trace_pair()


@pytest.mark.model
def test_the_sentences_differ_in_one_token(pair):
    one, other = (trace.query_tokens[0] for trace in pair)

    assert [(a, b) for a, b in zip(one, other, strict=True) if a != b] == [("large", "small")]


@pytest.mark.model
def test_the_head_is_told_by_how_much_of_its_weight_moves(pair):
    at = pair[0].query_tokens[0].index("it")
    most = heads_by_change(*pair, query_index=at)[0]
    before, after = (trace.calls[most.layer].weights(most.head)[at] for trace in pair)
    said = two_prompts.notes(*pair)

    # What arrives somewhere has left elsewhere: half the sum of all changes.
    np.testing.assert_allclose(most.moved, np.clip(after - before, 0, None).sum(), atol=1e-6)
    assert most.moved > 0.05  # the sentences really differ here
    assert f"layer {most.layer}, head {most.head}](#layer={most.layer}&head={most.head}" in said
    assert f"{most.moved:.1%}" in said


@pytest.mark.model
def test_the_verdict_follows_the_numbers(pair, monkeypatch):
    assert "looks at the trophy more in both" in two_prompts.notes(*pair)
    first, second = (pair[0].query_tokens[0].index(name) for name in two_prompts.CANDIDATES)
    real = two_prompts._rows

    def turned(one, other, layer, head):
        before, after = (row.copy() for row in real(one, other, layer, head))
        after[[first, second]] = after[[second, first]]
        return before, after

    monkeypatch.setattr(two_prompts, "_rows", turned)

    assert "its preference turns with the last word" in two_prompts.notes(*pair)


def test_without_a_run_the_bench_has_no_report(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "FOLDER", tmp_path)

    with pytest.raises(ValueError, match="holds no run of the bench: make one with `make bench`"):
        benchmark.build(tmp_path / "a.html", "T")


def test_make_report_builds_them(root):
    steps = subprocess.run(
        ["make", "-n", "report", "ARGS=toy_lesson"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "-m reports -o dist/reports toy_lesson" in steps.stdout
