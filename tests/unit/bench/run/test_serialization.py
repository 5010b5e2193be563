"""Result files: written atomically, validated on reading."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from attnpanel.bench.measure.environment import Environment
from attnpanel.bench.run.serialization import Interaction, ResultFileError, UiRun, read, write


@pytest.fixture
def run() -> UiRun:
    environment = Environment(
        date_utc="2026-01-02T03:04:05+00:00",
        commit="c" * 40,
        dirty=False,
        cpu_model="Abacus",
        cores=2,
        memory_bytes=2**33,
        os="Linux",
        python="CPython 3.11.7",
        versions={"numpy": "2.0"},
        browser="Chromium 1",
        thread_variables={"OMP_NUM_THREADS": "1"},
        load_before=(0.5, 0.25, 0.125),
        load_after=None,
    )
    token = Interaction(
        query_len=8,
        control="token",
        source="attn:row",
        plots=("row", "swatches"),
        data_s=(0.01, 0.02),
        paint_s=(0.05, 0.06),
        lost=0,
        pixels_changed=True,
    )
    return UiRun(
        schema="attnpanel.bench-ui/2",
        preset="quick",
        environment=environment,
        interactions=(token, replace(token, control="head", source="attn:weights")),
        picture_tap_s={"1024": (0.03, 0.04)},
        address_s=(2.5,),
        first_paint_s=(4.0,),
        import_s={"import attnpanel": (0.2, 0.3)},
    )


def damaged(run: UiRun, tmp_path, change) -> str:
    """The message that reading the run's file gives after `change(content)`."""
    path = tmp_path / "run.json"
    write(run, path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ResultFileError) as caught:
        read(path, UiRun)
    assert str(caught.value).startswith(f"{path} is not a result of the bench: ")
    return str(caught.value)


def test_a_run_is_read_as_it_was_written(run, tmp_path):
    write(run, tmp_path / "new" / "run.json")

    assert read(tmp_path / "new" / "run.json", UiRun) == run


def test_a_run_of_version_1_has_no_taps(run, tmp_path):
    write(run, path := tmp_path / "run.json")
    content = json.loads(path.read_text()) | {"schema": "attnpanel.bench-ui/1"}
    del content["picture_tap_s"]
    path.write_text(json.dumps(content))

    assert read(path, UiRun) == replace(run, picture_tap_s={})


def test_a_failed_write_keeps_the_old_file(run, tmp_path):
    path = tmp_path / "run.json"
    write(run, path)
    before = path.read_bytes()

    with pytest.raises(TypeError):
        write(replace(run, preset=object()), path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"[" * 100_000, b'{"schema": NaN}', b'{"a": 1}'],
)
def test_a_file_that_is_not_a_result_is_one_error(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)

    with pytest.raises(ResultFileError):
        read(path, UiRun)


def test_another_schema_is_named(run, tmp_path):
    message = damaged(run, tmp_path, lambda content: content.update(schema="attnpanel.bench-ui/3"))

    assert "schema must be 'attnpanel.bench-ui/2'; got 'attnpanel.bench-ui/3'" in message


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda c: c.pop("preset"),
            "exactly its fields; missing ['preset'], unknown []",
        ),
        (lambda c: c.update(more=1), "missing [], unknown ['more']"),
        (lambda c: c.update(preset=3), "run.preset must be of type str; got '3'"),
        (lambda c: c.update(interactions={}), "run.interactions must be a list; got '{}'"),
        (lambda c: c["interactions"].append(7), "run.interactions[2] must be an object; got '7'"),
        (
            lambda c: c["interactions"][1].update(control="mask"),
            "run.interactions[1].control must be one of token, temperature, head, aggregate; "
            "got 'mask'",
        ),
        (
            lambda c: c["interactions"][0].update(pixels_changed=1),
            "run.interactions[0].pixels_changed must be of type bool; got '1'",
        ),
        (
            lambda c: c["interactions"][0].update(query_len=True),
            "run.interactions[0].query_len must be of type int; got 'True'",
        ),
        (
            lambda c: c["interactions"][0]["data_s"].append("0.1"),
            "run.interactions[0].data_s[2] must be a finite number; got '0.1'",
        ),
        (
            lambda c: c["interactions"][0]["data_s"].append(0.1),
            "data_s and paint_s must have the same length; got 3 and 2",
        ),
        (lambda c: c.update(address_s=[]), "address_s must hold finite seconds"),
        (lambda c: c.update(address_s=[-1.0]), "address_s must hold finite seconds"),
        (lambda c: c["import_s"].update({"pass": []}), "import_s['pass'] must hold finite seconds"),
        (
            lambda c: c["environment"].update(load_after=[1, float("nan"), 1]),
            "run.environment.load_after[1] must be a finite number; got 'nan'",
        ),
        (lambda c: c.update(address_s=[10**400]), "int too large"),
        (
            lambda c: c["environment"].update(load_before=[1, 2]),
            "run.environment.load_before must be 3 values; got '[1, 2]'",
        ),
    ],
)
def test_damage_is_reported_with_its_field(run, tmp_path, damage, message):
    assert message in damaged(run, tmp_path, damage)


def test_integers_are_read_as_seconds(run, tmp_path):
    # JSON written by other tools has 4 where Python writes 4.0.
    path = tmp_path / "run.json"
    write(run, path)
    path.write_text(path.read_text().replace("4.0", "4"))

    assert read(path, UiRun) == run


def test_a_run_is_noisy_if_the_load_exceeds_the_cores(run):
    quiet = run.environment

    assert not quiet.noisy
    assert not replace(quiet, load_before=(2.0, 9.0, 9.0)).noisy
    assert replace(quiet, load_before=(2.01, 0.0, 0.0)).noisy
    assert not replace(quiet, load_before=None).noisy
