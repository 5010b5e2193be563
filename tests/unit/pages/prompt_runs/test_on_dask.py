"""Prompts on a Dask cluster of processes: the same numbers as here, and one sentence a fault."""

from __future__ import annotations

import gc
import os
import signal
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed")
pytest.importorskip("torch")
pytest.importorskip("transformers", reason="no transformers: `make install` brings it")

from attnpanel.attention.errors import error_sentence
from attnpanel.models import loading
from attnpanel.models.continuation import WritingChoices
from attnpanel.pages.prompt_runs import connection, on_dask
from attnpanel.pages.prompt_runs.local import LocalPrompts
from attnpanel.pages.prompt_runs.on_dask import DaskPrompts
from attnpanel.ui.background_task import SupersededError
from tests import worker_fakes
from tests.tiny_language_models import save_gpt2

pytestmark = [pytest.mark.slow, pytest.mark.thorough]  # a cluster, and a minute
ROOT = str(Path(__file__).resolve().parents[4])
TEXT = "The page computes 2\u00bd \u6f22\u5b57 \U0001f9ea e\u0301 \u202eright"
QUIET = {"max_tokens": 53, "progress": lambda _fraction, _text: None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_gpt2(tmp_path_factory.mktemp("decoder") / "gpt2"))


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        resources={"prompts": 1},
        dashboard_address=":0",
        env={"PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1"},
        silence_logs=60,
    ) as cluster:
        yield cluster
    with warnings.catch_warnings():  # Dask leaves sockets of killed workers to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def runs(cluster):
    runs = DaskPrompts(cluster.scheduler_address, 120)
    yield runs
    runs.connection.close()


def same_trace(found, expected):
    assert [call.layer for call in found] == [call.layer for call in expected]
    for call, other in zip(found, expected, strict=True):
        for name in ("query", "key", "value", "bias", "mask"):
            ours, theirs = getattr(call, name), getattr(other, name)
            np.testing.assert_equal(ours, theirs, strict=ours is not None)
        assert (call.scale, call.causal) == (other.scale, other.causal)
    assert found.query_tokens == expected.query_tokens
    assert (found.source, found.model, found.origins) == (
        expected.source,
        expected.model,
        expected.origins,
    )


def test_a_prompt_gives_the_same_numbers_as_here(runs, folder):
    said = []
    options = {"max_tokens": 53, "outputs": True}

    found = runs.trace_prompt(TEXT, folder, progress=lambda *news: said.append(news), **options)

    same_trace(found, LocalPrompts().trace_prompt(TEXT, folder, **options))
    assert [text for _, text in said][-1] == "Done"
    assert found.calls[0].outputs is not None


def test_a_change_its_output_and_the_heads_importance_are_the_same(runs, folder):
    change = {"layer": 1, "head": None, "hide_edges": [(3, 2)]}
    found = runs.change_prompt(TEXT, folder, **QUIET, **change)
    expected = LocalPrompts().change_prompt(TEXT, folder, **QUIET, **change)
    same_trace(found.before, expected.before)
    same_trace(found.after, expected.after)
    np.testing.assert_array_equal(found.output.moved, expected.output.moved)
    assert found.output.candidates == expected.output.candidates
    assert (found.output.kind, found.output.whole) == ("prediction", expected.output.whole)

    runs.measure_prompt(found.before, TEXT, folder, **QUIET)
    LocalPrompts().measure_prompt(expected.before, TEXT, folder, **QUIET)

    np.testing.assert_array_equal(found.before.head_importance, expected.before.head_importance)


def test_a_text_is_written_on_as_here_token_by_token(runs, folder):
    choices = WritingChoices(20, 0.7000000000000001, 50, 5)

    def write(where):
        came = []
        text = where.write_prompt(
            TEXT,
            folder,
            choices,
            **QUIET,
            change={"layer": "*", "head": 0, "scale": 0.0},
            on_token=came.append,
            stopped=lambda: False,
        )
        assert tuple(came) == text.written
        return text

    found, expected = (write(where) for where in (runs, LocalPrompts()))
    assert found.written == expected.written
    assert found.ended == expected.ended
    same_trace(found.trace, expected.trace)
    same_trace(found.change.before, expected.change.before)
    writer = runs.writer_of(folder, 53)
    assert asdict(writer) == asdict(LocalPrompts().writer_of(folder, 53))


# -- faults ------------------------------------------------------------------------------------


@pytest.fixture
def fault(runs):
    """Have all workers fail in a way, until the test has ended."""
    client = runs.connection.client(lambda: None)

    def use(name, path=""):
        return client.run(worker_fakes.use, name, str(path))

    yield use
    until(lambda: runs.connection.slots == 2)
    client.run(worker_fakes.use, "none")


def until(holds):
    """Wait for a condition, a minute at most."""
    pause = threading.Event()
    for _ in range(600):
        if holds():
            return
        pause.wait(0.1)
    pytest.fail("it never held")


def sentence(run, *arguments, **options):
    """What the page says of a run that fails."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - its sentence is compared
        run(*arguments, **(QUIET | options))
    said = error_sentence(raised.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("name", worker_fakes.GARBAGE)
def test_an_answer_that_is_none_is_refused_and_never_unpickled(runs, folder, fault, tmp_path, name):
    fault(name, tmp_path / "unpickled")

    said = sentence(runs.trace_prompt, TEXT, folder)

    assert said == (
        "A worker gave an answer that this server can't use; its operator finds the reason in the "
        "log, and its packages must be the server's."
    )
    assert not (tmp_path / "unpickled").exists()


def test_what_a_worker_says_of_a_prompt_or_lacks_is_said_and_others_work_on(runs, folder, fault):
    assert sentence(runs.trace_prompt, "a " * 60, folder) == (
        "Text must have at most 53 tokens; got 61."
    )
    assert sentence(runs.trace_prompt, " ", folder).startswith("Text must hold a character")
    assert sentence(runs.trace_prompt, TEXT, "/no/folder").startswith("Model must be 'minilm', a")
    fault("missing")
    assert sentence(runs.trace_prompt, TEXT, folder) == (
        "A worker of this server lacks a package: A model needs PyTorch and transformers."
    )
    fault("none")
    expected = LocalPrompts().trace_prompt(TEXT, folder, max_tokens=53)
    assert runs.pool.size == 2
    with ThreadPoolExecutor(12) as threads:
        ask = [threads.submit(runs.trace_prompt, TEXT, folder, **QUIET) for _ in range(12)]
        for asked in ask:
            same_trace(asked.result(), expected)


def test_superseded_work_is_cancelled_on_its_worker(runs, folder, fault):
    fault("endless")
    client = runs.connection.client(lambda: None)

    def progress(fraction, text):
        if (fraction, text) == (0.5, "Half"):
            assert sum(client.run(worker_fakes.running).values()) == 1
            raise SupersededError

    with pytest.raises(SupersededError):
        runs.trace_prompt(TEXT, folder, max_tokens=53, progress=progress)

    until(lambda: not sum(client.run(worker_fakes.running).values()))


def test_a_slow_worker_is_given_up_and_a_text_is_stopped(runs, folder, fault, monkeypatch):
    fault("hung")
    monkeypatch.setattr(runs, "_max_seconds", 0.5)
    assert sentence(runs.trace_prompt, TEXT, folder) == (
        "A prompt may take 0.5 s on a worker of this server, which is over: try a shorter text, "
        "or try again later."
    )
    monkeypatch.undo()
    fault("endless")
    client = runs.connection.client(lambda: None)

    def progress(fraction, _text):
        if fraction == 0.5:
            for address, numbers in client.run(lambda: list(worker_fakes.worker._running)).items():
                for number in numbers:
                    client.run(on_dask.stop_writing, number, workers=[address])

    assert sentence(runs.trace_prompt, TEXT, folder, progress=progress) == "Stopped."


def test_a_killed_workers_prompt_runs_on_another_and_one_that_kills_two_is_given_up(
    runs, folder, fault, tmp_path
):
    fault("endless", tmp_path / "begun")
    client = runs.connection.client(lambda: None)
    killed = []

    def progress(fraction, _text):
        if fraction == 0.5 and not killed:
            busy = client.run(lambda: (os.getpid(), worker_fakes.running()))
            killed.extend(pid for pid, count in busy.values() if count)
            os.kill(killed[0], signal.SIGKILL)

    found = runs.trace_prompt(TEXT, folder, max_tokens=53, progress=progress)

    assert len(killed) == 1
    same_trace(found, LocalPrompts().trace_prompt(TEXT, folder, max_tokens=53))
    until(lambda: runs.connection.slots == 2)
    client.register_plugin(worker_fakes.Dying())  # a worker that takes another's place dies, too
    try:
        said = sentence(runs.trace_prompt, TEXT, folder)
    finally:
        client.unregister_worker_plugin(worker_fakes.Dying.name)
    assert said == f"{on_dask.LOST[0].upper()}{on_dask.LOST[1:]}."


@contextmanager
def small_cluster(port=0, **options):
    """A cluster in this process."""
    from distributed import LocalCluster

    options |= {"n_workers": 1, "threads_per_worker": 1, "processes": False, "protocol": "tcp"}
    with LocalCluster(scheduler_port=port, dashboard_address=":0", **options) as cluster:
        yield cluster


@pytest.mark.thorough
def test_a_scheduler_that_goes_and_comes_back(folder, monkeypatch):
    monkeypatch.setattr(connection, "MISSING_S", 0.5)
    monkeypatch.setattr(loading, "_most", None)
    with small_cluster() as cluster:
        runs = DaskPrompts(cluster.scheduler_address, 60)
        until(lambda: runs.connection._workers)
        assert sentence(runs.trace_prompt, TEXT, folder) == (
            "No worker takes prompts: its operator must start it with --resources prompts=1."
        )
        port = int(cluster.scheduler_address.rpartition(":")[2])
    until(lambda: runs.connection._client is None)
    assert sentence(runs.trace_prompt, TEXT, folder) == (
        "The machine that runs the prompts can't be reached: try again in a minute."
    )
    gone = threading.Event()
    with small_cluster(port, resources={"prompts": 1}) as cluster:
        until(lambda: runs.connection.slots == 1)
        same_trace(
            runs.trace_prompt(TEXT, folder, **QUIET),
            LocalPrompts().trace_prompt(TEXT, folder, max_tokens=53),
        )
        worker_fakes.use("endless")

        def progress(fraction, _text):
            if fraction == 0.5 and not gone.is_set():
                gone.set()
                cluster.sync(cluster.scheduler.close)
                for number in list(worker_fakes.worker._running):
                    on_dask.stop_writing(number)

        said = sentence(runs.trace_prompt, TEXT, folder, progress=progress)
    worker_fakes.use("none")
    runs.connection.close()
    assert said == (
        "The connection to the machine that runs the prompts was lost: run it again in a minute."
    )
