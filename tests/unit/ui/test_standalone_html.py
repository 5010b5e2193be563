"""The file a report is: its libraries packed, its licences kept, its data unable to get out."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path

import bokeh
import numpy as np
import panel as pn
import pytest

from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import save_report
from attnpanel.trace import AttentionCall, Trace
from attnpanel.ui.components import bundle
from attnpanel.ui.standalone_html import _filled
from tests.hand_made import recorded, trace_of

LIBRARY = re.compile(r'data-attnpanel-library="([a-z-]+)">([^<]*)</script>')


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return save_report(toy_trace(), tmp_path_factory.mktemp("toy") / "toy.html")


@pytest.fixture(scope="module")
def text(toy):
    return toy.read_text(encoding="utf-8")


def unpacked(text):
    return {
        name: zlib.decompress(base64.b64decode(packed)).decode()
        for name, packed in LIBRARY.findall(text)
    }


def test_the_toy_fits_its_budget(toy):
    assert toy.stat().st_size <= 2_900_000


@pytest.mark.slow
def test_pictures_are_not_stored_where_the_page_draws_them(tmp_path):
    # Zeros pack to nothing: what grows with T would be pictures. One of 512 x 512 takes 1 MB.
    zeros = np.zeros((1, 1, 512, 8), dtype=np.float16)
    trace = Trace([AttentionCall("l", 0, query=zeros, key=zeros)], source="capture")

    path = save_report(trace, tmp_path / "a.html")

    assert path.stat().st_size <= 2_000_000


def test_the_libraries_are_those_installed_byte_for_byte(text):
    scripts = Path(bokeh.__file__).parent / "server" / "static" / "js"
    codes = unpacked(text)

    assert list(codes) == ["bokeh", "bokeh-widgets", "bokeh-tables", "panel"]
    for name in ("bokeh", "bokeh-widgets", "bokeh-tables"):
        assert (scripts / f"{name}.min.js").read_text(encoding="utf-8").strip() in codes[name]
    panel = Path(pn.__file__).parent / "dist" / "panel.min.js"
    assert codes["panel"] == panel.read_text(encoding="utf-8")


def test_the_licences_of_the_libraries_can_be_read(text):
    (notices,) = re.findall(r"<!--(.*?)-->", text, re.DOTALL)

    for line in (
        "Copyright (c) Anaconda, Inc., and Bokeh Contributors",
        "Copyright (c) HoloViz team (holoviz.org)",
        "Redistributions in binary form must reproduce the above copyright notice",
        'THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS"',
        "jQuery Foundation",
        "slickgrid",
    ):
        assert line in notices


def test_every_notice_of_the_libraries_is_kept(text):
    (notices,) = re.findall(r"<!--(.*?)-->", text, re.DOTALL)

    for code in unpacked(text).values():
        for comment in re.findall(r"/\*!.*?\*/", code, re.DOTALL):
            assert comment.replace("--", "- -") in notices


def test_the_projects_own_code_is_there_once(text):
    (packed,) = re.findall(r'id="attnpanel-texts">([^<]*)<', text)
    texts = json.loads(zlib.decompress(base64.b64decode(packed)))

    assert texts.count(bundle("explorer")) == 1
    assert "as BrowserExplorer" not in text


def test_nothing_in_the_opening_script_ends_its_element():
    # A script element ends at the first of these, whatever the JavaScript around it says.
    assert re.search(r"</script|<!--|-->", bundle("start_report"), re.IGNORECASE) is None


def test_a_file_without_scripts_has_words_for_its_reader(text):
    (words,) = re.findall(r'<p id="attnpanel-opening">(.*?)</p>', text, re.DOTALL)

    assert "allow JavaScript" in words
    assert "open it in a browser" in words
    (rule,) = re.findall(r"<noscript><style>(.*?)</style></noscript>", text)
    assert "visibility: visible" in rule


# A real limit of the system on how large a file may grow: the write fails half-way.
FILLS_UP = """
import resource, sys
from pathlib import Path
from attnpanel.trace.atomic_write import atomic_write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    atomic_write_text(Path(sys.argv[1]), ["x" * 60_000] * 3)
except OSError as error:
    print(error)
"""


@pytest.mark.posix
def test_a_disk_that_really_fills_up_leaves_the_older_file_and_no_other(root, tmp_path):
    older = tmp_path / "report.html"
    older.write_text("the older report")

    ran = subprocess.run(
        [sys.executable, "-c", FILLS_UP, older],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "File too large" in ran.stdout
    assert older.read_text() == "the older report"
    assert list(tmp_path.iterdir()) == [older]


def test_large_texts_stand_where_their_placeholders_were():
    pieces = _filled('{"a": ["one", "two"], "b": "<"}', {"one": "1" * 9, "two": "2"})

    assert "".join(pieces) == '{"a": ["111111111", "2"], "b": "<"}'


def test_recorded_weights_and_a_single_token_are_saved(tmp_path):
    trace = trace_of(*(recorded(index, query_len=index + 1) for index in range(2)))

    text = trace.report(tmp_path / "a.html").read_text(encoding="utf-8")

    assert "shown as it was recorded: scores, mix, another temperature or mask need" in text
