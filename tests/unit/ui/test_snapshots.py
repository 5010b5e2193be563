"""Validation and layout of snapshots."""

from __future__ import annotations

import pytest

from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import save_report
from attnpanel.ui.snapshots import MAX_BYTES, PNG, check_snapshots, snapshots_pane


@pytest.mark.parametrize("picture", [b"", b"<svg/>", "\x89PNG\r\n\x1a\n", PNG + bytes(MAX_BYTES)])
def test_anything_but_a_small_png_is_refused_by_name(picture):
    with pytest.raises(ValueError, match="a PNG of at most 4 MB; “Softmax” is not"):
        check_snapshots({"Softmax": picture})


def test_a_snapshots_name_is_escaped():
    content = snapshots_pane({"'><script>a&b": PNG}).object

    assert "<script" not in content
    assert content.count("&#x27;&gt;&lt;script&gt;a&amp;b") == 2
    assert "src='data:image/png;base64,iVBORw0KGgo='" in content


def test_a_report_with_an_invalid_snapshot_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="a snapshot must be a PNG"):
        save_report(toy_trace(), tmp_path / "a.html", stills={"Softmax": b"GIF89a"})

    assert list(tmp_path.iterdir()) == []
