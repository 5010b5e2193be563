"""Each token's part of the text, as the tokenizer's own offsets say."""

from types import SimpleNamespace

from attnpanel.explorer.wire_format import describe
from attnpanel.models.tokens import origins_of
from attnpanel.models.toy import toy_trace
from attnpanel.trace.token_origins import TokenOrigins


class Words:
    """A fast tokenizer of words between two added tokens."""

    is_fast = True
    unk_token = "[UNK]"  # noqa: S105 - no secret

    def __call__(self, texts, **_options):
        return {"offset_mapping": [self._offsets(text) for text in texts]}

    def _offsets(self, text):
        offsets, start = [(0, 0)], 0
        for word in text.split(" "):
            offsets.append((start, start + len(word)))
            start += len(word) + 1
        return [*offsets, (0, 0)]


def test_a_token_has_the_text_between_its_offsets():
    origins = origins_of(Words(), ["naïve 漢字 😀", "It"])

    assert origins == TokenOrigins((("", "naïve", "漢字", "😀", ""), ("", "It", "")), "[UNK]")


def test_a_tokenizer_without_offsets_says_nothing():
    assert origins_of(SimpleNamespace(is_fast=False), ["It"]) is None


def test_they_go_to_the_page_and_into_a_part_of_a_trace():
    trace = toy_trace(T=3)
    assert describe(trace)["origins"] == []

    trace.origins = TokenOrigins((("a", "b", "c"),), "?")
    part = trace.select(heads=[1])

    assert part.origins == trace.origins
    assert describe(part)["origins"] == [["a", "b", "c"]]
    assert describe(part)["unknownToken"] == "?"
