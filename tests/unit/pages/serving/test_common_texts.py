"""A page that asks for it gets its document without the common texts; they have an address."""

from __future__ import annotations

import gzip
import json

import pytest

from attnpanel.pages.serving import common_texts
from attnpanel.pages.serving.common_texts import APART, CommonTexts
from attnpanel.ui.common_texts import MARK, take_out_texts
from tests.page_socket import request


def texts_at(port, tag, *headers):
    """The head and the body of the answer to a request for a set of texts."""
    lines = "\r\n".join([f"Host: localhost:{port}", *headers])
    head, _, body = request(port, lines, f"/common-texts/{tag}.json").partition(b"\r\n\r\n")
    return head.decode(), body


def document(css: str) -> dict:
    return {"roots": [{"attributes": {"css": css}}]}


def test_a_document_and_its_texts_come_apart_and_together_are_the_whole(page, live):
    whole = page.ask("PULL-DOC-REQ", {})["content"]
    apart = page.ask("PULL-DOC-REQ", APART)["content"]
    head, body = texts_at(live.port, apart["texts"], "Accept-Encoding: gzip")

    assert "texts" not in whole
    assert take_out_texts(whole["doc"]) == json.loads(gzip.decompress(body)) != []
    assert apart["doc"] == whole["doc"]
    assert head.startswith("HTTP/1.1 200")
    assert "Content-Encoding: gzip" in head
    assert "immutable" in head


def test_who_takes_no_gzip_gets_the_texts_as_they_are(page, live):
    tag = page.ask("PULL-DOC-REQ", APART)["content"]["texts"]

    assert json.loads(texts_at(live.port, tag)[1])


@pytest.mark.parametrize("tag", ["0" * 32, "..", "%2e%2e%2fstatic", "0" * 31, "A" * 32])
def test_no_other_address_has_texts(live, tag):
    assert texts_at(live.port, tag)[0].startswith("HTTP/1.1 404")


@pytest.mark.parametrize("content", [{}, {"texts": "a part"}, {"texts": ["apart"]}, [], "apart", 1])
def test_who_asks_for_something_else_gets_the_whole_document(page, content):
    answer = page.ask("PULL-DOC-REQ", content)

    assert answer["header"]["msgtype"] == "PULL-DOC-REPLY"
    assert MARK not in json.dumps(answer["content"]["doc"], ensure_ascii=False)


def test_the_same_texts_have_the_same_tag_and_others_another():
    texts = CommonTexts()
    style, other = ("a { color: red }" * n for n in (99, 98))

    assert texts.take_out(document(style)) == texts.take_out(document(style))
    assert texts.take_out(document(style)) != texts.take_out(document(other))


def test_the_oldest_set_goes_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(common_texts, "MOST_SETS", 3)
    texts = CommonTexts()

    tags = [texts.take_out(document("a" * 300 + str(n))) for n in range(4)]

    assert [texts.get(tag) is not None for tag in tags] == [False, True, True, True]
