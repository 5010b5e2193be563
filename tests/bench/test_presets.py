"""Presets: those that come along, those in a file, and what a plan makes of them."""

from __future__ import annotations

import pytest

from attnpanel.kernels import IMPLEMENTATIONS
from bench.cases import CERTIFICATE_CASES
from bench.presets import Preset, PresetError, Timed, left_out, load_preset, make_plan, preset_names
from tests.bench.made_kernels import RIGHT

OWN = "tests.bench.made_kernels:RIGHT"


def test_the_presets_come_along_and_each_makes_a_plan():
    assert preset_names() == ["exhaustive", "full", "gpu", "quick", "smoke"]
    for name in preset_names():
        preset = load_preset(name)
        plan = make_plan(preset, name)

        assert preset.about
        assert plan.timed
        assert plan.certified


@pytest.mark.parametrize(("name", "longest"), [("full", 1024), ("exhaustive", 2048)])
def test_no_implementation_is_left_out_where_time_is_no_matter(name, longest):
    plan = make_plan(load_preset(name), name, device="cpu")

    assert plan.implementations == tuple(one.name for one in IMPLEMENTATIONS)
    assert max(case.request.query_len for case in plan.timed) == longest


def test_the_exhaustive_preset_certifies_every_case():
    plan = make_plan(load_preset("exhaustive"), "exhaustive", device="cpu")

    assert {case.name for case in CERTIFICATE_CASES} <= {case.name for case in plan.cases}


def test_quick_leaves_out_what_compiles_and_says_so():
    preset = load_preset("quick")

    compiled = {one.name for one in IMPLEMENTATIONS if one.compiles}
    assert compiled
    assert set(left_out(preset)) == compiled
    assert set(make_plan(preset, "quick").implementations).isdisjoint(compiled)


def test_the_few_certificates_have_every_mask_in_every_dtype_there_is():
    plan = make_plan(Preset(certificates="few"), "few", device="cpu", implementations=[OWN])

    kinds = [(case.request.mask, case.request.dtype) for case in plan.certified]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == {(one.request.mask, one.request.dtype) for one in CERTIFICATE_CASES}


def test_what_is_given_takes_the_place_of_what_the_preset_says():
    plan = make_plan(
        load_preset("quick"),
        "quick",
        device="cuda",
        implementations=[OWN, OWN],
        query_lens=[7, 11],
        masks=["window", "key_padding"],
        dtypes=["float64"],
        threads=3,
    )

    assert (plan.implementations, plan.threads) == ((OWN,), 3)
    assert [case.name for case in plan.timed] == [
        "window window 256 B1 H8 T7 D64 float64 randn cuda",
        "window window 256 B1 H8 T11 D64 float64 randn cuda",
        "key_padding pad 5 B1 H8 T7 D64 float64 randn cuda",
        "key_padding pad 8 B1 H8 T11 D64 float64 randn cuda",
    ]
    assert {case.request.device for case in plan.certified} == {"cuda"}


def test_certify_only_certifies_what_would_have_been_timed():
    timed = make_plan(load_preset("smoke"), "smoke").timed
    plan = make_plan(load_preset("smoke"), "smoke", certify_only=True)

    assert plan.timed == ()
    assert {case.name for case in timed} <= {case.name for case in plan.certified}


def test_an_implementation_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"must be one of numpy-naive.*; got 'nunpy'"):
        make_plan(load_preset("smoke"), "smoke", implementations=["nunpy"])


TOML = """
about = "mine"
threads = 2
implementations = ["tests.bench.made_kernels:RIGHT"]
[[timed]]
T = [5]
masks = ["causal"]
heads = 3
"""
YAML = """
about: mine
threads: 2
implementations: ["tests.bench.made_kernels:RIGHT"]
timed:
  - {T: [5], masks: [causal], heads: 3}
"""


@pytest.mark.parametrize(("name", "text"), [("a.toml", TOML), ("a.yaml", YAML), ("a.yml", YAML)])
def test_a_file_of_either_kind_is_a_preset(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)

    assert load_preset(str(path)) == Preset(
        about="mine",
        threads=2,
        implementations=(OWN,),
        timed=(Timed(T=(5,), masks=("causal",), heads=3),),
    )
    assert RIGHT.name == "right"  # the module that the file names is there


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "round = 3", "must hold its fields; missing [], unknown ['round']"),
        ("a.toml", "rounds = '3'", "preset.rounds must be of type int; got '3'"),
        ("a.toml", "rounds = 3 4", "is not a preset"),
        ("a.toml", "timed = 3", "preset.timed must be a list"),
        ("a.toml", "[[timed]]\nmasks = ['diagonal']", "preset.timed[0].masks[0] must be one of"),
        ("a.toml", "[[timed]]\nlength = 3", "unknown ['length']"),
        ("a.yaml", "- 3", "preset must be an object; got '[3]'"),
        ("a.yaml", "a: [", "is not a preset"),
        ("a.yaml", "!!python/object/apply:os.system ['echo']", "could not determine a constructor"),
        ("a.toml", "#" * 70_000, "at most 65536 bytes"),
    ],
)
def test_a_file_that_says_what_no_preset_can_is_one_error(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(PresetError) as caught:
        load_preset(str(path))

    assert words in str(caught.value)


def test_a_preset_that_there_is_not_is_named():
    with pytest.raises(
        PresetError, match="must be one of exhaustive, full, gpu, quick, smoke, or a TOML"
    ):
        load_preset("fast")
