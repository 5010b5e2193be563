"""A tiny model in a folder for the tests of prompts, and no network."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def nothing_loaded_before(monkeypatch, request):
    if request.node.get_closest_marker("model") is None:
        from attnpanel.models import loading

        monkeypatch.setattr(loading, "_loaded", {})


@pytest.fixture
def folder(tmp_path, capfd):
    from tests.tiny_prompt_models import save_model, save_tokenizer

    made = tmp_path / "tiny"
    save_tokenizer(made)
    save_model(made)
    capfd.readouterr()
    return made
