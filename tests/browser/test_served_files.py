"""Trace files that a visitor uploads: good ones open, bad ones are told."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from safetensors.numpy import save

from tests.browser.acting import choose, source_button
from tests.browser.made import made_traces
from tests.browser.reading import differing, matrix, notice, settle, snapshot
from tests.browser.reckoned import reckon

pytest_plugins = ["tests.browser.opened"]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "cross.safetensors"
    made_traces()["cross.safetensors"].save(path)
    return path.read_bytes()


class Executes:
    """What a pickle can do: run anything when it is read."""

    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was read')",)


def bad_files(good: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "random": np.random.default_rng(0).bytes(5000),
        "truncated": good[: len(good) // 2],
        "pickle": pickle.dumps(Executes()),
        "other": save({"weight": np.zeros((2, 3), dtype=np.float32)}),
        "text": b'{"calls": []}',
        "schema": good.replace(b"attnpanel.trace/1", b"attnpanel.trace/9"),
    }


def upload(page, name: str, content: bytes) -> None:
    page.locator("input[accept='.safetensors']").set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    )
    settle(page)


def test_bad_files_are_told_and_what_was_shown_stays_alive(toy, good):
    source_button(toy, "File").click()
    settle(toy)
    before, head = snapshot(toy), 0
    for name, content in bad_files(good).items():
        upload(toy, f"{name}.safetensors", content)

        assert f"{name}.safetensors" in notice(toy), name
        assert differing(before, snapshot(toy)) == set()
        head = 3 - head
        choose(toy, Head=head)
        after = snapshot(toy)
        assert "weights" in differing(before, after)
        before = after


@pytest.mark.thorough
def test_a_file_name_is_text(toy):
    source_button(toy, "File").click()
    settle(toy)
    name = "<img src=x onerror=window.pwned=1>.safetensors"

    upload(toy, name, b"nothing")

    assert name in notice(toy)
    assert toy.evaluate("window.pwned") is None


@pytest.mark.thorough
def test_a_file_that_is_too_large_is_refused_before_it_is_sent(toy, tmp_path):
    source_button(toy, "File").click()
    settle(toy)
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(65_000_000)

    toy.locator("input[accept='.safetensors']").set_input_files(path)
    settle(toy)

    assert "64 MB" in notice(toy)
    assert "huge.safetensors" in notice(toy)


@pytest.mark.thorough
def test_a_good_file_opens_after_a_bad_one(toy, good):
    source_button(toy, "File").click()
    settle(toy)
    upload(toy, "bad.safetensors", b"bad")

    upload(toy, "good.safetensors", good)

    assert notice(toy) == ""
    choose(toy, Head=1, Mask="none", Temperature=0, Mean_of_heads=False)
    expected = reckon(made_traces()["cross.safetensors"].calls[0], 1)
    np.testing.assert_allclose(matrix(toy, "weights"), expected.weights, rtol=1e-6)
