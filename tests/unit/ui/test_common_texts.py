"""The code of components and the styles leave a document, and are the only ones that do."""

from __future__ import annotations

import copy
import json
import zlib
from base64 import b64decode

from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import save_report
from attnpanel.ui.common_texts import SHORTEST, take_out_texts

STYLE = "a { color: red }" * SHORTEST


def document(style: str) -> dict:
    return {
        "id": {
            "roots": [
                {"type": "object", "attributes": {"css": style, "esm": "export {}"}},
                {"type": "object", "attributes": {"css": style, "text": style}},
            ]
        }
    }


def test_equal_texts_are_taken_out_once_and_the_rest_stays():
    data = document(STYLE)

    texts = take_out_texts(data)

    first, second = (root["attributes"] for root in data["id"]["roots"])
    assert texts == [STYLE]
    assert first["css"] == second["css"] != STYLE
    assert first["esm"] == "export {}"
    assert second["text"] == STYLE


def test_short_texts_stay():
    data = document("a {}")
    before = copy.deepcopy(data)

    assert take_out_texts(data) == []
    assert data == before


def test_a_reports_code_is_compressed(tmp_path):
    html = save_report(toy_trace(), tmp_path / "toy.html").read_text("utf-8")

    held = html.partition('id="attnpanel-document">')[2].partition("</script>")[0]
    packed = html.partition('id="attnpanel-texts">')[2].partition("</script>")[0]
    texts = json.loads(zlib.decompress(b64decode(packed)))
    assert any("export" in text for text in texts)
    assert any("--attn" in text for text in texts)
    assert not any(json.dumps(text) in held for text in texts)
