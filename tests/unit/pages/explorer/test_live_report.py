"""A report with a model in it: what goes into the file, and what is refused."""

from __future__ import annotations

import base64
import json
import re
import zlib

import pytest

from attnpanel.__main__ import main
from attnpanel.models.loading import load_model
from attnpanel.models.prompts import trace_prompt
from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import save_report
from attnpanel.trace import Trace
from tests.tiny_encoders import save_encoder

pytest.importorskip("transformers", reason="no transformers: `make install` brings it")
TEXT = "The cat sat."


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return str(save_encoder(tmp_path_factory.mktemp("models") / "tiny"))


def test_the_command_line_puts_the_model_at_the_end_of_the_file(folder, tmp_path):
    path = tmp_path / "live.html"
    arguments = ["report", "--prompt", TEXT, "--model", folder, "--live-model", "-o", str(path)]
    assert main(arguments) == 0

    text = path.read_text(encoding="utf-8")
    model = text[text.index('id="attnpanel-end"') :]
    (packed,) = re.findall(r'id="attnpanel-model">([^<]*)<', model)
    description = json.loads(zlib.decompress(base64.b64decode(packed)))
    parts = re.findall(r"data-attnpanel-weights>([^<]*)<", model)
    assert sum(len(base64.b64decode(part)) for part in parts) == description["bytes"]
    assert description["name"] == "tiny"
    # No private path, and the stated error beside the box and in the provenance.
    assert folder not in text
    assert text.count("tiny itself is in this file") == 2


def test_a_report_without_a_model_holds_nothing_of_one(tmp_path):
    text = save_report(toy_trace(), tmp_path / "toy.html").read_text(encoding="utf-8")
    assert "attnpanel-weights>" not in text
    assert 'id="attnpanel-model' not in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": [0]}, r"layers can't be chosen; got \[0\]"),
        ({"heads": [1]}, r"heads can't be chosen; got \[1\]"),
        ({"values": False}, "values can't be chosen; got False"),
    ],
)
def test_a_report_with_a_model_leaves_nothing_out(folder, tmp_path, options, words):
    trace = trace_prompt(TEXT, folder)
    with pytest.raises(ValueError, match=words):
        save_report(trace, tmp_path / "a.html", model=load_model(folder), **options)
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_names_no_model_needs_one_named(folder, tmp_path):
    trace = trace_prompt(TEXT, folder)
    trace.model = ""
    with pytest.raises(ValueError, match="model=True needs a trace that names its model"):
        save_report(trace, tmp_path / "a.html", model=True)


def test_a_trace_just_made_knows_the_folder_of_its_model_and_one_from_a_file_does_not(
    folder, tmp_path
):
    trace = trace_prompt(TEXT, folder)
    text = save_report(trace.select(), tmp_path / "a.html", model=True).read_text("utf-8")
    assert "tiny itself is in this file" in text
    trace.model = "my/tiny/model"  # no name on the Hub, so that none is asked for
    trace.save(tmp_path / "trace.safetensors")
    assert folder.encode() not in (tmp_path / "trace.safetensors").read_bytes()
    read = Trace.load(tmp_path / "trace.safetensors")

    with pytest.raises(ValueError, match=r"only its name: .*; if .* pass that: model='path/to/my"):
        save_report(read, tmp_path / "b.html", model=True)
