"""Built-in presets, preset files and the plans made of them."""

from __future__ import annotations

import pytest

from attnpanel.bench.certify.cases import CERTIFICATE_CASES
from attnpanel.bench.run.presets import (
    Preset,
    PresetError,
    Timed,
    left_out,
    load_preset,
    make_plan,
    preset_names,
)
from attnpanel.kernels import IMPLEMENTATIONS
from tests.unit.bench.run.fake_kernels import RIGHT

OWN = "tests.unit.bench.run.fake_kernels:RIGHT"


def test_every_built_in_preset_makes_a_plan():
    assert preset_names() == ["exhaustive", "full", "gpu", "quick", "shapes", "smoke"]
    for name in preset_names():
        preset = load_preset(name)
        plan = make_plan(preset, name)

        assert preset.about
        assert plan.timed
        assert plan.certified


@pytest.mark.parametrize(("name", "longest"), [("full", 1024), ("exhaustive", 2048)])
def test_the_full_preset_excludes_no_implementation(name, longest):
    plan = make_plan(load_preset(name), name, device="cpu")

    assert plan.implementations == tuple(implementation.name for implementation in IMPLEMENTATIONS)
    assert max(case.request.query_len for case in plan.timed) == longest


def test_the_exhaustive_preset_certifies_every_case():
    plan = make_plan(load_preset("exhaustive"), "exhaustive", device="cpu")

    assert {case.name for case in CERTIFICATE_CASES} <= {case.name for case in plan.cases}


def test_quick_excludes_implementations_that_compile():
    preset = load_preset("quick")

    compiled = {
        implementation.name for implementation in IMPLEMENTATIONS if implementation.compiles
    }
    assert compiled
    assert set(left_out(preset)) == compiled
    assert set(make_plan(preset, "quick").implementations).isdisjoint(compiled)


def test_few_certificates_cover_every_mask_and_dtype():
    plan = make_plan(Preset(certificates="few"), "few", device="cpu", implementations=[OWN])

    kinds = [(case.request.mask, case.request.dtype) for case in plan.certified]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) == {(case.request.mask, case.request.dtype) for case in CERTIFICATE_CASES}


def test_arguments_override_the_preset():
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


def test_sizes_override_the_preset_and_what_is_not_given_stays():
    sizes = {
        "batch": 2,
        "heads": 6,
        "kv_heads": 3,
        "head_dim": 128,
        "value_dim": 96,
        "key_len": 41,
        "bias": True,
    }
    plan = make_plan(
        load_preset("smoke"), "smoke", device="cpu", query_lens=[7], masks=["none"], sizes=sizes
    )

    assert [case.name for case in plan.timed] == [
        "none B2 H6/3 T7 S41 D128 Dv96 float32 randn bias"
    ]
    same = make_plan(load_preset("smoke"), "smoke", device="cpu", sizes=dict.fromkeys(sizes))
    assert same.timed == make_plan(load_preset("smoke"), "smoke", device="cpu").timed


def test_heads_that_no_groups_of_keys_divide_are_refused():
    with pytest.raises(ValueError, match="heads must be a multiple of kv_heads; got 8 and 3"):
        make_plan(load_preset("smoke"), "smoke", sizes={"heads": 8, "kv_heads": 3})


def test_preset_of_shapes_decodes_chunks_groups_and_packs():
    cases = make_plan(load_preset("shapes"), "shapes", device="cpu").timed

    requests = [case.request for case in cases]
    assert {r.head_dim for r in requests} == {128}
    assert any(r.query_len == 1 < r.key_len for r in requests)
    assert any(1 < r.query_len < r.key_len and r.align == "bottom_right" for r in requests)
    assert any(r.heads != r.kv_heads for r in requests)
    assert any(r.mask == "causal_documents" for r in requests)


def test_certify_only_certifies_the_cases_to_time():
    timed = make_plan(load_preset("smoke"), "smoke").timed
    plan = make_plan(load_preset("smoke"), "smoke", certify_only=True)

    assert plan.timed == ()
    assert {case.name for case in timed} <= {case.name for case in plan.certified}


def test_an_unknown_implementation_is_refused():
    with pytest.raises(ValueError, match=r"must be one of numpy-naive.*; got 'nunpy'"):
        make_plan(load_preset("smoke"), "smoke", implementations=["nunpy"])


TOML = """
about = "mine"
threads = 2
implementations = ["tests.unit.bench.run.fake_kernels:RIGHT"]
[[timed]]
T = [5]
masks = ["causal"]
heads = 3
"""
YAML = """
about: mine
threads: 2
implementations: ["tests.unit.bench.run.fake_kernels:RIGHT"]
timed:
  - {T: [5], masks: [causal], heads: 3}
"""


@pytest.mark.parametrize(("name", "text"), [("a.toml", TOML), ("a.yaml", YAML), ("a.yml", YAML)])
def test_toml_and_yaml_files_are_presets(tmp_path, name, text):
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
        ("a.toml", "round = 3", "must have exactly its fields; missing [], unknown ['round']"),
        ("a.toml", "rounds = '3'", "preset.rounds must be of type int; got '3'"),
        ("a.toml", "rounds = 3 4", "is not a preset"),
        ("a.toml", "timed = 3", "preset.timed must be a list"),
        (
            "a.toml",
            "[[timed]]\nmasks = ['diagonal']",
            "preset.timed[0]: kind must be one of none, padding",
        ),
        ("a.toml", "[[timed]]\nlength = 3", "unknown ['length']"),
        ("a.yaml", "- 3", "preset must be an object; got '[3]'"),
        ("a.yaml", "a: [", "is not a preset"),
        ("a.yaml", "!!python/object/apply:os.system ['echo']", "could not determine a constructor"),
        ("a.toml", "#" * 70_000, "at most 65536 bytes"),
    ],
)
def test_an_invalid_preset_file_is_one_error(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(PresetError) as caught:
        load_preset(str(path))

    assert words in str(caught.value)


def test_an_unknown_preset_is_named():
    with pytest.raises(
        PresetError, match="must be one of exhaustive, full, gpu, quick, shapes, smoke, or a TOML"
    ):
        load_preset("fast")
