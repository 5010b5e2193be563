"""A run on a Dask cluster, with workers killed and cancellation."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace

import pytest

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.cluster.dask_workers import run_on_cluster
from attnpanel.bench.run.planning import Plan
from attnpanel.bench.run.records import BenchRun
from attnpanel.bench.run.serialization import read
from attnpanel.kernels.request import Request

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow  # starts a cluster
KERNELS = "tests.unit.bench.run.fake_kernels:"
TIMED = tuple(Case(Request(2, 3, 3, 5, 7, 11, 13), seed=seed) for seed in range(2))
CERTIFIED = (Case(Request(2, 3, 3, 5, 7, 11, 13, mask="causal")),)
PLAN = Plan(
    preset="made",
    certified=CERTIFIED,
    timed=TIMED,
    implementations=(KERNELS + "SLOW", KERNELS + "ABORTING"),
    rounds=2,
    samples_per_round=2,
    row_budget_s=5.0,
    limits=False,  # each measurement loads PyTorch, which takes seconds
)


@pytest.fixture(scope="module")
def cluster(children_without_torch):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        resources={"timing": 1},
        dashboard_address=":0",
    ) as cluster:
        yield cluster


@pytest.mark.thorough
def test_a_killed_worker_loses_and_duplicates_no_row(cluster, tmp_path):
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

    names = [name.removeprefix(KERNELS) for name in PLAN.implementations]
    assert killed == [victim]
    assert found.finished
    assert [
        (agreement.case, agreement.implementation.removeprefix(KERNELS))
        for agreement in found.agreements
    ] == [(case.name, name) for case in PLAN.cases for name in names]
    assert [
        (timing.case, timing.implementation.removeprefix(KERNELS), timing.status, timing.rounds)
        for timing in found.timings
    ] == [
        (case.name, name, status, rounds)
        for case in TIMED
        for name, status, rounds in (
            ("SLOW", "timed", (0, 0, 1, 1)),
            ("ABORTING", "crashed", ()),
        )
    ]
    assert read(output, BenchRun) == found


@pytest.mark.thorough
def test_a_run_stopped_on_the_cluster_is_resumed_there(cluster, tmp_path):
    output, cancelled, reports = tmp_path / "run.json", threading.Event(), []
    totals = []

    def stop(progress):
        totals.append(progress.total)
        if progress.done == 1:
            cancelled.set()

    address = cluster.scheduler_address
    first = run_on_cluster(PLAN, address, output=output, progress=stop, cancelled=cancelled)
    assert not first.finished
    assert read(output, BenchRun) == first

    second = run_on_cluster(PLAN, address, output=output, resume=True, progress=reports.append)

    assert second.finished
    assert len(second.timings) == 4
    assert reports[0].total < totals[0]
    kept = [timing for timing in first.timings if timing.peak_bytes is not None]
    assert all(timing in second.timings for timing in kept)


def test_workers_without_the_timing_resource_are_refused():
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster,
        pytest.raises(ValueError, match="start it with --resources timing=1; got 1 workers"),
    ):
        run_on_cluster(PLAN, cluster.scheduler_address)


@pytest.mark.thorough
def test_a_part_that_kills_its_workers_is_crashed_and_the_others_are_done(cluster, monkeypatch):
    # By default Dask gives a part up only after it killed four workers.
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    plan = replace(
        PLAN,
        certified=CERTIFIED,
        timed=(),
        implementations=(KERNELS + "KILLING_ITS_PARENT", KERNELS + "RIGHT"),
    )

    found = run_on_cluster(plan, cluster.scheduler_address)

    killing, right = found.agreements
    assert (killing.verdict, right.verdict) == ("error", "pass")
    assert killing.reasons == ("crashed: its part ended every worker that tried it",)
    assert found.finished
