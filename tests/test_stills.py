"""Pictures of a page as it was: what is one, and how they stand in a report."""

from __future__ import annotations

import pytest

from attnpanel.report import save_report
from attnpanel.sources.toy import toy_trace
from attnpanel.stills import MOST_BYTES, PNG, check_stills, stills_pane


@pytest.mark.parametrize("picture", [b"", b"<svg/>", "\x89PNG\r\n\x1a\n", PNG + bytes(MOST_BYTES)])
def test_what_is_no_small_png_is_refused_by_its_name(picture):
    with pytest.raises(ValueError, match="a PNG of at most 4 MB; “Softmax” is not"):
        check_stills({"Softmax": picture})


def test_a_pictures_name_is_text():
    content = stills_pane({"'><script>a&b": PNG}).object

    assert "<script" not in content
    assert content.count("&#x27;&gt;&lt;script&gt;a&amp;b") == 2
    assert "src='data:image/png;base64,iVBORw0KGgo='" in content


def test_a_report_with_what_is_no_picture_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="a still picture must be a PNG"):
        save_report(toy_trace(), tmp_path / "a.html", stills={"Softmax": b"GIF89a"})

    assert list(tmp_path.iterdir()) == []
