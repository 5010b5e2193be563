"""The WebGPU shader against the formula, where there is an adapter, and what it can't run."""

import re
import sys
from dataclasses import replace

import pytest

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.certify.certificate import certify
from attnpanel.kernels import wgpu_online
from attnpanel.kernels.reasons import unmet
from attnpanel.kernels.request import Request
from attnpanel.kernels.wgpu_online import WGPU_ONLINE, Adapter
from tests.unit.kernels.formula import assert_formula, draw


def unmet_if_installed(*arguments, packages, **options):
    return unmet(*arguments, **options)


SMALL = Request(2, 6, 2, 5, 7, 11, 13)


@pytest.fixture
def here():
    pytest.importorskip("wgpu", reason="wgpu is not installed")
    if wgpu_online.adapter().reason:
        pytest.skip(wgpu_online.adapter().reason)


@pytest.mark.parametrize(
    "request_",
    [
        replace(SMALL, query_len=7, key_len=5, mask="causal", align="bottom_right", scale=-0.7),
        replace(SMALL, bias=True, mask="padding", pad_lens=(3, 0), temperature=0.01),
        # More than a workgroup of queries.
        Request(1, 2, 1, 70, 129, 16, 32, mask="causal"),
        # With loops over channels lavapipe would end before the last keys: 600 times 128 rounds.
        Request(1, 1, 1, 1, 600, 64, 64),
        Request(1, 1, 1, 1, wgpu_online.MAX_KEYS, 256, 256),
        # Tiles of eight keys, and queries that see no key of their first tiles.
        Request(1, 2, 2, 66, 70, 256, 256, mask="window", window=5, align="bottom_right"),
        replace(SMALL, dtype="float16", bias=True, mask="key_padding", pad_lens=(3, 7)),
        Request(1, 1, 1, 130, 65, 32, 40, dtype="float16", mask="causal"),
    ],
    ids=lambda request: Case(request).name,
)
def test_the_shader_gives_the_formulas_numbers(request_, here):
    if request_.dtype == "float16" and not wgpu_online.adapter().half:
        pytest.skip("the adapter has no float16")
    assert WGPU_ONLINE.unsupported(request_) == []
    assert_formula(WGPU_ONLINE, draw(request_), request_)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_shader_is_certified(here, dtype):
    if dtype == "float16" and not wgpu_online.adapter().half:
        pytest.skip("the adapter has no float16")
    request = Request(1, 2, 1, 3, 5, 11, 13, dtype, mask="key_padding", pad_lens=(4,), bias=True)
    found = certify(WGPU_ONLINE, Case(request))

    assert (found.verdict, found.reasons) == ("pass", ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dtype": "bfloat16"}, "wgpu-online computes float32, float16; got bfloat16"),
        (
            {"dtype": "float16"},
            "computes float16 where the adapter has shader-f16; this one has not",
        ),
        ({"device": "cuda"}, "wgpu-online runs on cpu; got device cuda"),
        ({"value_dim": 257}, "head_dim and value_dim up to 256; got 11 and 257"),
        ({"key_len": 52_001}, "up to 52000 keys, since lavapipe ends longer loops; got 52001"),
        ({"query_len": 2**20, "key_len": 64}, "offers 134217728 bytes an array .* got 805306368"),
    ],
)
def test_what_it_cannot_run_it_says_in_words(monkeypatch, changes, reason):
    monkeypatch.setattr(wgpu_online, "adapter", lambda: Adapter(object()))
    monkeypatch.setattr(wgpu_online, "unmet", unmet_if_installed)
    (found,) = WGPU_ONLINE.unsupported(replace(SMALL, **changes))

    assert re.search(reason, found)


def test_a_machine_without_an_adapter_is_a_reason(monkeypatch):
    monkeypatch.setattr(wgpu_online, "unmet", unmet_if_installed)
    monkeypatch.setattr(wgpu_online, "adapter", lambda: Adapter(None, "wgpu finds no adapter here"))

    assert WGPU_ONLINE.unsupported(SMALL) == ["wgpu finds no adapter here"]


def test_whatever_a_driver_raises_is_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "wgpu", None)  # import raises
    wgpu_online.adapter.cache_clear()
    try:
        assert wgpu_online.adapter().reason.startswith("wgpu finds no adapter here: ")
    finally:
        wgpu_online.adapter.cache_clear()
