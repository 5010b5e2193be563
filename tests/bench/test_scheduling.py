"""A run on a cluster of two workers: one of them killed, and still every row once."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace

import pytest

from attnpanel.kernels.request import Request
from bench.bench_run import BenchRun
from bench.cases import Case
from bench.planning import Plan
from bench.results import read
from bench.scheduling import run_on_cluster

pytest.importorskip("distributed")
HERE = "tests.bench.made_kernels:"
TIMED = tuple(Case(Request(2, 3, 3, 5, 7, 11, 13), seed=seed) for seed in range(3))
CERTIFIED = (Case(Request(2, 3, 3, 5, 7, 11, 13, mask="causal")),)
PLAN = Plan(
    preset="made",
    certified=CERTIFIED,
    timed=TIMED,
    implementations=(HERE + "RIGHT", HERE + "SLOW", HERE + "ABORTING"),
    rounds=3,
    samples_per_round=2,
    row_budget_s=5.0,
    limits=False,  # each measurement loads PyTorch, which takes seconds
)


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        resources={"timing": 1},
        dashboard_address=":0",
    ) as cluster:
        yield cluster


def test_with_a_worker_killed_nothing_is_lost_and_nothing_is_there_twice(cluster, tmp_path):
    from distributed import Client

    output = tmp_path / "run.json"
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        victim = next(iter(client.run(os.getpid).values()))
    killed = []

    def kill_one(progress):
        if progress.done >= 2 and not killed:
            killed.append(victim)
            os.kill(victim, signal.SIGKILL)

    found = run_on_cluster(PLAN, cluster.scheduler_address, output=output, progress=kill_one)

    names = [name.removeprefix(HERE) for name in PLAN.implementations]
    assert killed == [victim]
    assert found.finished
    assert [(one.case, one.implementation.removeprefix(HERE)) for one in found.agreements] == [
        (case.name, name) for case in PLAN.cases for name in names
    ]
    assert [
        (one.case, one.implementation.removeprefix(HERE), one.status, one.rounds)
        for one in found.timings
    ] == [
        (case.name, name, status, rounds)
        for case in TIMED
        for name, status, rounds in (
            ("RIGHT", "timed", (0, 0, 1, 1, 2, 2)),
            ("SLOW", "timed", (0, 0, 1, 1, 2, 2)),
            ("ABORTING", "crashed", ()),
        )
    ]
    assert read(output, BenchRun) == found


def test_a_run_stopped_on_the_cluster_is_resumed_there(cluster, tmp_path):
    output, cancelled, told = tmp_path / "run.json", threading.Event(), []

    def stop(progress):
        if progress.done == 1:
            cancelled.set()

    address = cluster.scheduler_address
    first = run_on_cluster(PLAN, address, output=output, progress=stop, cancelled=cancelled)
    assert not first.finished
    assert read(output, BenchRun) == first

    second = run_on_cluster(PLAN, address, output=output, resume=True, progress=told.append)

    assert second.finished
    assert len(second.timings) == 9
    assert told[0].total < 6
    kept = [one for one in first.timings if one.peak_bytes is not None]
    assert all(one in second.timings for one in kept)


def test_workers_that_offer_no_timing_are_not_waited_for():
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster,
        pytest.raises(ValueError, match="start it with --resources timing=1; got 1 workers"),
    ):
        run_on_cluster(PLAN, cluster.scheduler_address)


def test_a_part_that_takes_its_workers_with_it_is_a_status_and_the_others_go_on():
    import dask
    from distributed import LocalCluster

    plan = replace(
        PLAN,
        certified=CERTIFIED,
        timed=(),
        implementations=(HERE + "KILLING_ITS_PARENT", HERE + "RIGHT"),
    )
    # By default a part is given up when it took four workers with it.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, resources={"timing": 1}, dashboard_address=":0"
        ) as cluster,
    ):
        found = run_on_cluster(plan, cluster.scheduler_address)

    killing, right = found.agreements
    assert (killing.verdict, right.verdict) == ("error", "pass")
    assert killing.reasons == ("crashed: its part ended every worker that tried it",)
    assert found.finished
