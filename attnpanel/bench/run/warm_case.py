"""A warm implementation on one case: fresh calls, their samples, and the judgement of both."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from random import SystemRandom
from time import process_time, thread_time
from typing import TYPE_CHECKING, Any, Final

from attnpanel.bench.measure.clocks import background_seconds
from attnpanel.bench.measure.flop_count import ITEM_BYTES
from attnpanel.bench.measure.memory import peak_bytes_of
from attnpanel.bench.measure.timing import warm_up
from attnpanel.bench.run.counted_calls import CountedCalls
from attnpanel.bench.run.fresh_inputs import InputSource, input_bytes, name_of_changed
from attnpanel.bench.run.prepared_inputs import scale
from attnpanel.bench.run.timed_passes import timed_pass
from attnpanel.bench.run.timed_results import RefusedError
from attnpanel.bench.run.visits import Prepared, Taken, Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.measure.clocks import Clock, Sample
    from attnpanel.bench.measure.reference_workload import ReferenceWorkload
    from attnpanel.bench.run.fresh_inputs import Variation
    from attnpanel.bench.run.timed_results import ResultObserver
    from attnpanel.kernels.implementation import Implementation

LONG_CALL_S: Final = 0.25
# Linux updates the count of resident pages with a lag of a few hundred kB.
MIN_VISIBLE_BYTES: Final = 2**19
MAX_INPUT_BYTES: Final = 2**26  # of one sample
# Share of the visits, after the first, whose results are judged; and after which it is checked
# again that calls compute.
JUDGED_SHARE, CHECKED_SHARE = 0.6, 0.1
# Work outside the clock that is taken for housekeeping, as a share of what was timed and in
# seconds a visit: a garbage collection of Node.js, threads that fall asleep.
BACKGROUND_SHARE, BACKGROUND_S = 0.25, 2e-3
# The same for the preparation of a call that does not read its inputs afterwards.
PREPARING_SHARE, PREPARING_S = 0.3, 1e-3
# A call on inputs that it has had may be so much faster, for caches are warm; and one on inputs
# that were changed in place so much slower, and by what clocks resolve.
REPEATED_RATIO, CHANGED_RATIO, REPEATED_S, REPEATED_PAIRS = 4.0, 2.0, 2e-5, 5
# CPU time of a sample outside the clock over that of a sample without work, and of the call before
# it over those in it; beyond, and by how much, it is work outside the clock.
OUTSIDE_RATIO, REFILL_RATIO, OUTSIDE_S = 1.5, 1.5, 1e-3
OUTSIDE_TRIALS = 8  # how often a sample with such work is taken again: the least of it counts
LATEST: Final = 9  # preparations whose median counts
THREAD_SHARE: Final = 1.25  # CPU time over wall time of a thread, beyond what clocks resolve


@dataclass(eq=False)
class WarmCase:
    """Makes and samples calls of one implementation on one case.

    Attributes
    ----------
    implementation : Implementation
    case : Case
    clock : Clock
    threads : int
    check_process : function
        Called after each sample, before any other call of the implementation; raises RefusedError.
    cuda_graphs : bool
        Whether calls are captured once, outside the clock, and replayed.
    """

    implementation: Implementation
    case: Case
    clock: Clock
    threads: int
    check_process: Callable[[], None]
    cuda_graphs: bool = False
    _calls: int = 1
    _call_s: float = 0.0
    _visits: int = 0
    _background_s: float = 0.0
    _sampled_s: float = 0.0
    _scheduled_s: float = 0.0  # without waiting for a core
    _sampled_cpu_s: float = 0.0
    _preparing_s: list[float] = field(default_factory=list)
    _reading_s: list[float] = field(default_factory=list)
    _prepared_behind_s: float = 0.0
    _random: SystemRandom = field(default_factory=SystemRandom)

    def __post_init__(self) -> None:
        self._source = InputSource(self.case)
        self._pass = timed_pass(
            self.implementation,
            self.case,
            self._source,
            threads=self.threads,
            cuda_graphs=self.cuda_graphs,
        )
        request = self.case.request
        queries = request.batch * request.heads * request.query_len
        # Of the output, or of dQ, which is the least of what a backward pass returns.
        width = request.value_dim if request.direction == "forward" else request.head_dim
        self._output_bytes = queries * width * ITEM_BYTES[request.dtype]
        self.counted = CountedCalls(
            self._fresh, self._pass.observer, self.implementation.context, self._judge
        )
        self._given: tuple[Any, ...] = ()  # the inputs of the last call that was prepared
        self._most = THREAD_SHARE * self.threads if self.clock.name == "cpu" else math.inf
        empty = [self.clock.sample([lambda: None]).outside_s for _ in range(3)]
        self._idle_outside_s = statistics.median(empty)

    def warm(self, limit_s: float, *, check: bool = True) -> Prepared:
        """Call until the time is stable; choose the calls of a sample.

        Parameters
        ----------
        limit_s : float
            Limit of the calls after the first.
        check : bool
            Whether to check that calls compute.

        Raises
        ------
        RefusedError
            If preparing a call computes its result, or if a call keeps results.
        """
        with self.implementation.context():
            warm = warm_up(lambda: self._fresh()[0], self.clock, limit_s=limit_s)
        self._call_s = min(warm.warmup_s)
        self._calls = self.fitting(warm.calls_per_sample)
        if check:
            self._check_calls()
        compiles = self.implementation.compiles
        return Prepared(
            clock=self.clock.name,
            compile_s=warm.first_s if compiles else None,
            warmup_s=warm.warmup_s if compiles else (warm.first_s, *warm.warmup_s),
            calls_per_sample=self._calls,
        )

    def fitting(self, most: int) -> int:
        """Return how many calls, at most `most`, have inputs that fit together."""
        each = input_bytes(self._source.inputs(self._source.draw()))
        return max(1, min(most, MAX_INPUT_BYTES // max(each, 1)))

    def visit(self, count: int, workload: ReferenceWorkload | None) -> Visit:
        """Return `count` samples, each of calls on inputs that they have not had before.

        A call on other inputs comes before, which refills caches and wakes threads, unless a call
        takes `LONG_CALL_S`.

        Parameters
        ----------
        count : int
        workload : ReferenceWorkload or None
            Timed before and after each sample; None on a device.

        Raises
        ------
        RefusedError
            If a result is wrong or does not exist when the clock stops, or if the implementation
            works outside the clock or replaced it.
        """
        taken: list[Taken] = []
        for _ in range(count):
            taken.append(first := self._take(workload))
            outside_s, calmest = first.outside_s, first.sample
            # A call on memory that is new to the process takes several times its later ones, idle
            # threads may wake, and Node.js compiles on a thread of its own what is called often.
            for _ in range(OUTSIDE_TRIALS):
                if max(outside_s, calmest.beyond_s(self._most) * self._calls) <= BACKGROUND_S:
                    break
                again = self._take(workload)
                first.observed.extend(again.observed)
                outside_s = min(outside_s, again.outside_s)
                calmest = min(calmest, again.sample, key=lambda one: one.beyond_s(self._most))
            self._background_s += outside_s
            self._sampled_s += calmest.wall_s * self._calls
            scheduled_s = max(first.sample.cpu_s, first.sample.wall_s - first.sample.waited_s)
            self._scheduled_s += scheduled_s * self._calls
            # Warm-up calls may have waited for a core, or be slow on purpose.
            self._call_s = min(self._call_s, scheduled_s)
            self._sampled_cpu_s += calmest.cpu_s * self._calls
        self._visits += 1
        self._check_background()
        judged = 0  # drawn after the calls, so that they can't know
        if self._visits == 1 or self._random.random() < JUDGED_SHARE:
            judged = sum(self._judge(*observed) for one in taken for observed in one.observed)
        if self._call_s < LONG_CALL_S and self._random.random() < CHECKED_SHARE:
            self._check_repeated_calls()
        samples = [one.sample for one in taken]
        paces = [one.pace for one in taken if one.pace is not None]
        computing, copying = zip(*paces, strict=True) if paces else ((), ())
        return Visit(
            wall_s=tuple(sample.wall_s for sample in samples),
            cpu_s=tuple(sample.cpu_s for sample in samples),
            waited_s=tuple(sample.waited_s for sample in samples),
            page_faults=tuple(sample.page_faults for sample in samples),
            yardstick_s=tuple(computing),
            copy_yardstick_s=tuple(copying),
            prepare_s=statistics.median(self._preparing_s),
            judged=judged,
        )

    def memory(self) -> int | None:
        """Return the peak memory of one more call above that before it; None if not observable.

        A call allocates at least its output. A smaller peak means that it reused memory of an
        earlier call, as ONNX Runtime's arena does.

        Raises
        ------
        RefusedError
            If the result is wrong, or if a call does not compute any more.
        """
        call, variation = self._fresh()
        observer = self._pass.observer()
        peak = peak_bytes_of(lambda: observer(call()), self.case.request.device)
        observer.freeze()
        self._judge(observer, [variation])
        self._check_repeated_calls()
        reused = peak is not None and peak < self._output_bytes >= MIN_VISIBLE_BYTES
        return None if reused else peak

    def _take(self, workload: ReferenceWorkload | None) -> Taken:
        """Take one sample, with a call before it and the reference workload around it."""
        behind, preparing = background_seconds(), self._prepared_behind_s
        prepared = len(self._reading_s)
        refill, of_refill = self._fresh() if self._call_s < LONG_CALL_S else (None, None)
        calls, variations, given = zip(
            *((*self._fresh(), self._given) for _ in range(self._calls)), strict=True
        )
        observed: list[tuple[ResultObserver[Any], list[Variation]]] = []
        began = process_time()
        worked = process_time()
        before = workload.seconds() if workload else None
        worked = process_time() - worked
        # Beside what preparing took, which is its own.
        preparing = self._prepared_behind_s - preparing
        outside_s = background_seconds() - behind - preparing
        observer = self._pass.observer()
        entered = process_time()
        with self.implementation.context():
            outside_s += process_time() - entered
            if refill is not None and of_refill is not None:
                # Its result must exist before the calls that were prepared after it are made.
                observed.append((self._observed(refill), [of_refill]))
            refill_s = process_time() - began - worked
            sample = self.clock.sample(calls, observer)
        self.check_process()
        for one in observer.frozen:
            if name := name_of_changed(given[one.call], self._pass.inputs(variations[one.call])):
                raise RefusedError(
                    f"a call must leave its inputs as they are; {name} was written to"
                )
        idle = background_seconds()
        pace = None
        if workload and before:
            after = workload.seconds()
            pace = (before.computing + after.computing) / 2, (before.copying + after.copying) / 2
        outside_s += background_seconds() - idle
        observed.append((observer, list(variations)))
        outside_s += self._outside(sample, refill_s, self._reading_s[prepared:])
        return Taken(sample, pace, outside_s, observed)

    def _observed(self, call: Callable[[], Any]) -> ResultObserver[Any]:
        observer = self._pass.observer()
        observer(call())
        observer.freeze()
        return observer

    def _outside(self, sample: Sample, refill_s: float, reading_s: Sequence[float]) -> float:
        """Return what this thread worked around a sample beyond what is expected, in seconds."""
        if self.clock.name != "cpu":  # the thread may spin while it waits for the device
            return 0.0
        idle_s = OUTSIDE_RATIO * self._idle_outside_s
        limits = (idle_s, 2 * idle_s + REFILL_RATIO * sample.cpu_s, len(reading_s) * idle_s)
        pairs = zip((sample.outside_s, refill_s, sum(reading_s)), limits, strict=True)
        return sum(max(taken - limit - OUTSIDE_S, 0.0) for taken, limit in pairs)

    def _fresh(self) -> tuple[Callable[[], Any], Variation]:
        """Prepare a call with inputs of its own, ready to be timed."""
        call, variation = self._prepared()
        return self._pass.ready(call), variation

    def _prepared(self) -> tuple[Callable[[], Any], Variation]:
        variation = self._source.draw()
        self._given = inputs = self._pass.inputs(variation)
        entered, behind, before = thread_time(), background_seconds(), thread_time()
        call = self._pass.prepare(*inputs)
        taken, behind = thread_time() - before, background_seconds() - behind
        # Reading files runs audit hooks, which could compute then.
        self._reading_s.append(thread_time() - entered - taken)
        self._preparing_s.append(taken + behind)
        self._prepared_behind_s += behind
        return call, variation

    def _judge(self, observer: ResultObserver[Any], variations: list[Variation]) -> int:
        for frozen in observer.frozen:
            wrong = self._pass.judge(frozen, variations[frozen.call])
            if wrong:
                raise RefusedError(f"the result of a timed call must pass the certificate: {wrong}")
        return len(observer.frozen)

    def _check_calls(self) -> None:
        """Check that each call computes from what it holds when it is called.

        Its inputs are changed in place before its first call and again before its second; a third
        call has nothing new to compute and must take as long.
        """
        call, variation = self._prepared()
        held, factor = self._pass.held(call, variation), self._pass.first_factor
        scale(held, factor)
        first = self._judge_call(call, variation, factor if held else 1.0)
        if held and not first:
            scale(held, 1 / factor)
            second = self._judge_call(call, variation)
            if second:
                rule = "a second call must compute from its inputs as they are then"
                raise RefusedError(f"{rule}: {second}")
        elif self._judge_call(call, variation):
            raise RefusedError(
                "a call must compute from the inputs that it holds when it is called; after these "
                "were changed in place its result was right neither for them nor for those before "
                f"({first})"
            )
        else:
            self._check_preparation()
        self._pass.check_backward()
        self._check_repeated_calls()

    def _check_repeated_calls(self) -> None:
        """Check that a call takes as long on inputs that it has had, or that were changed in place.

        By CPU time, which other processes hardly change, and in one of several trials. Another call
        is prepared in between, as in a sample, and signs are changed, which changes no speed.
        """
        again_passes = changed_passes = False
        for _ in range(REPEATED_PAIRS):
            (call, variation), (refill, _) = self._fresh(), self._fresh()
            # A backward pass also reads what the forward pass kept.
            backward = self.case.request.direction == "backward"
            held = [] if backward else self._pass.held(call, variation)
            with self.implementation.context():
                refill()
                fresh, again = (self.clock.sample([call]).cpu_s for _ in range(2))
                scale(held, -1)
                changed = self.clock.sample([call]).cpu_s if held else fresh
            again_passes |= again > fresh / REPEATED_RATIO - REPEATED_S
            changed_passes |= fresh > changed / CHANGED_RATIO - REPEATED_S
            if again_passes and changed_passes:
                if not held and not backward:
                    self._check_preparation()
                return
        if again_passes:
            raise RefusedError(
                f"a call must compute from its inputs when it is called; it took {fresh * 1e3:.3g} "
                f"ms of CPU time, and {changed * 1e3:.3g} ms after these were changed in place"
            )
        raise RefusedError(
            "a call must compute each time; on inputs that it has had it took "
            f"{again * 1e3:.3g} ms of CPU time, on others {fresh * 1e3:.3g} ms: it keeps results"
        )

    def _check_preparation(self) -> None:
        call, _ = self._prepared()
        preparing = statistics.median(self._preparing_s[-LATEST:])
        taken = self.clock.sample([call]).cpu_s
        if preparing > PREPARING_SHARE * taken + PREPARING_S:
            raise RefusedError(
                "preparing a call must not compute its result; the call does not read its inputs, "
                f"and preparing it took {preparing * 1e3:.3g} ms of CPU time, the call "
                f"{taken * 1e3:.3g} ms"
            )

    def _judge_call(
        self, call: Callable[[], Any], variation: Variation, factor: float = 1.0
    ) -> str:
        (frozen,) = self._observed(call).frozen
        if frozen.failure:
            raise RefusedError(frozen.failure)
        return self._pass.judge(frozen, variation, factor)

    def _check_background(self) -> None:
        """Check that nothing works while the clock stands, and no more threads while it runs."""
        if self._sampled_cpu_s > self._most * self._sampled_s + BACKGROUND_S * self._visits:
            raise RefusedError(
                f"an implementation must use at most {self.threads} thread(s); its calls took "
                f"{self._sampled_cpu_s * 1e3:.3g} ms of CPU time in {self._sampled_s * 1e3:.3g} ms"
            )
        # Idle threads of a pool may spin for a while before they sleep.
        if self.threads > 1:
            return
        allowed = BACKGROUND_SHARE * self._scheduled_s + BACKGROUND_S * self._visits
        if self._background_s > allowed:
            raise RefusedError(
                "an implementation must work within the clock only; its other threads and "
                f"processes took {self._background_s * 1e3:.3g} ms of CPU time outside it, for "
                f"{self._scheduled_s * 1e3:.3g} ms that were timed"
            )
