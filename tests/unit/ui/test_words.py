"""Words in other languages: which are shown, who chooses, and that every file is complete."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest
from bokeh.document import Document
from panel.io.state import set_curdoc

from attnpanel.ui import words
from attnpanel.ui.components import BUNDLES
from attnpanel.ui.words import (
    FOLDER,
    choose_language,
    current_language,
    languages,
    set_document_language,
    t,
    use_language,
    words_for_module,
)
from docs.write_words import problems_of, texts_in_source

LANGUAGES = [code for code in languages() if code != "en"]


@pytest.fixture(scope="module")
def texts():
    return texts_in_source()


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_has_every_text_of_the_source_and_no_other(code, texts):
    content = json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8"))

    assert problems_of(texts, content["words"]) == [], "`python docs/write_words.py` tells more"


@pytest.mark.parametrize(
    ("text", "translation", "problem"),
    [
        ("Head {head}", "", "not translated"),
        ("Head {head}", " ", "not translated"),
        ("Head {head}", "Kopf {kopf}", "other placeholders"),
        ("a [query]", "eine Query", "other explained words"),
        ("Choose ①", "Wählen", "other numbers"),
        ("Head", "<b>Kopf</b>", "markup"),
        ("Head", "Kopf ", "white space"),
    ],
)
def test_a_wrong_translation_is_found(text, translation, problem):
    (found,) = problems_of([text], {text: translation})

    assert found.startswith(problem)


def test_a_text_that_is_gone_is_found():
    assert problems_of([], {"Head": "Kopf"}) == ["no longer in the source: 'Head'"]


def test_an_explained_word_may_have_another_form():
    assert problems_of(["a [query]"], {"a [query]": "eine [Anfrage|query]"}) == []


def test_a_text_without_a_translation_stays_english():
    with use_language("de"):
        assert (t("Head"), t("no such text {n}", n=3)) == ("Kopf", "no such text 3")


def test_what_fills_a_placeholder_is_text():
    with use_language("de"):
        assert t("head {head}", head="{count} <b>") == "Kopf {count} <b>"


def test_outside_of_a_page_the_language_is_english_and_inside_its_own():
    document = Document()
    set_document_language(document, "de", named=False)

    assert current_language() == "en"
    with set_curdoc(document):
        assert current_language() == "de"
        with use_language("zh"):
            assert current_language() == "zh"


def test_a_language_that_is_none_is_refused_by_its_name():
    with pytest.raises(ValueError, match="one of en, de, zh; got 'xx'"), use_language("xx"):
        pass


@pytest.mark.parametrize(
    ("asked", "default", "accepted", "chosen"),
    [
        ("de", "zh", "en", "de"),
        ("xx", "zh", "de", "zh"),
        (None, None, "de-AT,de;q=0.9,en;q=0.8", "de"),
        (None, None, "fr,en;q=0.5,zh-CN;q=0.7", "zh"),
        (None, None, "de;q=0,*", "en"),
        (None, None, "de;q=much,,;;=", "en"),
        (None, None, None, "en"),
    ],
)
def test_the_address_chooses_before_the_server_and_the_browser(asked, default, accepted, chosen):
    assert choose_language(asked, default, accepted) == chosen


def test_a_module_gets_the_words_that_it_uses_and_an_english_one_none():
    module = (BUNDLES / "more_button.js").read_text(encoding="utf-8")
    before = words_for_module(module, "de")

    assert words_for_module(module, "en") == ""
    assert before == 'const attnpanelWords={"More":"Mehr"};\n'


def test_every_text_of_javascript_stands_in_a_bundle_as_it_is_looked_for(texts):
    folders = [BUNDLES, BUNDLES.parents[1] / "bench" / "bundles"]
    bundles = [path.read_text("utf-8") for folder in folders for path in folder.glob("*.js")]
    with (
        patch("docs.write_words._texts_of_tables", list),
        patch("docs.write_words._texts_in_python", list),
    ):
        whole = "".join(bundles)
        lost = [
            text
            for text in texts_in_source()
            if not any(f"{quote}{text}{quote}" in whole for quote in "\"'`")
        ]

    assert lost == []


def test_the_names_of_languages_are_their_own():
    assert words.languages() == {"en": "English", "de": "Deutsch", "zh": "中文"}
