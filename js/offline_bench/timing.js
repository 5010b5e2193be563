import { exceptionText } from "./certificate.js";
import { STEPS, median, now, pause, randomBelow } from "./clock.js";
import { sizesOf } from "./inputs.js";
import { judge, largestError, describeExcess, weightError } from "./judge.js";
import { reference, rowsOf } from "./reference.js";
import { ROUNDOFF } from "./float16.js";

// Times of calls: each gets inputs that no call had, and results of timed calls are judged after the clock has stopped.

const MIN_SAMPLE_S = 2e-3;
const LATENCIES = 10; // an empty submission is at most a tenth of a sample
const MARGIN = 1.5; // of a sample's duration, since a disturbed one lasts longer
const STABLE = 0.1;
const MIN_WARM = 3;
const MAX_WARM = 12;
const WARM_S = 3;
const INPUT_BYTES = 2 ** 26; // of the inputs of a sample
const MOST_CALLS = 1024; // of a sample
const LONG_CALL_S = 0.25; // beyond, caches and threads need no call before the clock starts
const SLOW_CALL_S = 1; // beyond, a row ends after so many rounds
const SLOW_ROUNDS = 3;
const JUDGED_ROWS = 16;
const JUDGED_SHARE = 0.6;

/** A row's inputs: those of its case, rotated and with other signs of channels, so that every score is another. */
class InputSource {
  /** @param {import("./certificate.js").PreparedCase} prepared */
  constructor({ request, inputs }) {
    this.request = request;
    this.base = inputs;
  }

  /** @returns {BenchInputs} */
  draw() {
    const { B, H, Hkv, T, S, D, Dv } = sizesOf(this.request);
    const { query, key, value, mask, bias } = this.base;
    const [byQuery, byKey] = [randomBelow(T), randomBelow(S)];
    return {
      query: varied(query, B * H, T, D, byQuery, null),
      key: varied(key, B * Hkv, S, D, byKey, signs(D)),
      value: varied(value, B * Hkv, S, Dv, byKey, signs(Dv)),
      mask: mask && mask.slice(),
      bias: bias && bias.slice(),
    };
  }

  get bytes() {
    const { query, key, value, mask, bias } = this.base;
    return [query, key, value, mask, bias].reduce((total, array) => total + (array?.byteLength ?? 0), 0);
  }
}

/** @param {number} count */
const signs = (count) => Array.from(crypto.getRandomValues(new Uint8Array(count)), (byte) => (byte & 1 ? 1 : -1));

/**
 * @param {Float32Array} array
 * @param {number} heads
 * @param {number} rows
 * @param {number} width
 * @param {number} by
 * @param {?number[]} signs
 */
function varied(array, heads, rows, width, by, signs) {
  const moved = new Float32Array(array.length);
  for (let head = 0; head < heads; head++) {
    const whole = array.subarray(head * rows * width, (head + 1) * rows * width);
    moved.set(whole.subarray(0, (rows - by) * width), (head * rows + by) * width);
    moved.set(whole.subarray((rows - by) * width), head * rows * width);
  }
  if (signs !== null) for (let at = 0; at < moved.length; at++) moved[at] *= signs[at % width];
  return moved;
}

/** A row of a run: an implementation on a case, warm. */
export class TimedRow {
  /** @type {number[]} */
  wall = [];
  /** @type {number[]} */
  rounds = [];
  /** @type {number[]} */
  warm = [];
  judged = 0;
  /** seconds of one call by the device's own clock, 0 where it tells none */
  device = 0;
  calls = 1;
  status = "timed";
  reason = "";

  /**
   * @param {BenchImplementation} implementation
   * @param {import("./certificate.js").PreparedCase} prepared
   * @param {{step: number, latency: number}} clock in seconds
   */
  constructor(implementation, prepared, clock) {
    this.implementation = implementation;
    this.request = prepared.request;
    this.listed = prepared.listed;
    this.clock = clock;
    this.source = new InputSource(prepared);
  }

  /**
   * Whether the row needs no further round.
   *
   * @param {number} rounds
   */
  complete(rounds) {
    const enough = Math.min(...this.warm) > SLOW_CALL_S ? Math.min(SLOW_ROUNDS, rounds) : rounds;
    return this.ended || this.wall.length >= enough;
  }

  /** The most calls of a sample. */
  get most() {
    return Math.min(MOST_CALLS, Math.max(1, Math.floor(INPUT_BYTES / this.source.bytes)));
  }

  /** @param {number} share of a sample's least duration that one of so many calls had */
  more(share) {
    return Math.min(this.most, Math.max(this.calls * 2, Math.ceil(this.calls / Math.max(share, 1 / 16))));
  }

  get ended() {
    return this.status !== "timed";
  }

  /**
   * Ends the row without times.
   *
   * @param {string} status
   * @param {string} reason
   */
  end(status, reason) {
    Object.assign(this, { status, reason, wall: [], rounds: [] });
  }

  /** Calls until the time is stable, and decides how many calls a sample is. */
  async warmUp() {
    await this.guarded(async () => {
      const end = now() + WARM_S;
      let last = Infinity;
      while (this.warm.length < MAX_WARM) {
        const seconds = Math.max(await this.sample(1, false), this.clock.step / STEPS);
        this.warm.push(seconds);
        const stable = Math.abs(seconds / last - 1) < STABLE;
        last = seconds;
        if (this.warm.length >= MIN_WARM && (stable || now() > end)) break;
        await pause();
      }
      const least = MARGIN * Math.max(STEPS * this.clock.step, MIN_SAMPLE_S, LATENCIES * this.clock.latency);
      this.calls = 1;
      // A short call shows its length in several only: what surrounds it counts less and less.
      for (let seconds = Math.min(...this.warm); seconds < least && this.calls < this.most; ) {
        this.calls = this.more(seconds / least);
        seconds = await this.sample(this.calls, false);
      }
    });
  }

  /**
   * Takes one sample of a round.
   *
   * @param {number} round
   */
  async visit(round) {
    await this.guarded(async () => {
      const least = STEPS * this.clock.step;
      const judged = round === 0 || randomBelow(100) < 100 * JUDGED_SHARE;
      let seconds = await this.sample(this.calls, judged);
      while (seconds < least && this.calls < this.most && !this.ended) {
        this.calls = this.more(seconds / (MARGIN * least));
        this.wall = [];
        this.rounds = [];
        seconds = await this.sample(this.calls, judged);
      }
      if (this.ended) return;
      if (seconds < least) {
        const ms = [seconds, this.clock.step].map((x) => `${Number((1e3 * x).toPrecision(3))} ms`);
        this.end("refused", `a sample must last ${STEPS} steps of the clock; got ${ms[0]} at steps of ${ms[1]}`);
        return;
      }
      this.wall.push(seconds / this.calls);
      this.rounds.push(round);
    });
  }

  /** Asks the device's own clock, beside the browser's. */
  async askDevice() {
    await this.guarded(async () => {
      const call = this.implementation.prepare(this.request, this.source.draw());
      call.start();
      const seconds = await call.deviceSeconds?.();
      call.release();
      if (seconds) this.device = seconds;
    });
  }

  /** @param {() => Promise<void>} action */
  async guarded(action) {
    try {
      await this.implementation.guard(action);
    } catch (error) {
      const text = exceptionText(error);
      this.end(/out of memory|allocation/i.test(text) ? "out of memory" : "error", text);
    }
  }

  /**
   * Times some calls on new inputs together, and judges one of them that is drawn afterwards.
   *
   * @param {number} count
   * @param {boolean} judged
   * @returns {Promise<number>} seconds of all
   */
  async sample(count, judged) {
    const inputs = Array.from({ length: count }, () => this.source.draw());
    const calls = inputs.map((each) => this.implementation.prepare(this.request, each));
    const { finish } = this.implementation;
    // What uploads inputs must have ended before the clock starts; a call of its own also warms caches.
    const refill = Math.min(...this.warm) < LONG_CALL_S || this.warm.length === 0 ? this.implementation.prepare(this.request, this.source.draw()) : null;
    refill?.start();
    if (finish !== null) await finish(refill ?? calls[0]);
    const began = now();
    for (const call of calls) call.start();
    if (finish !== null) await finish(calls[count - 1]);
    const seconds = now() - began;
    if (judged) {
      const at = randomBelow(count);
      const failure = this.judge(inputs[at], await calls[at].read());
      if (failure) this.end("refused", `the result of a timed call must be right: ${failure}`);
      else this.judged += 1;
    }
    for (const call of refill === null ? calls : [refill, ...calls]) call.release();
    return seconds;
  }

  /**
   * Why some rows of one head are wrong; empty if they are right.
   *
   * @param {BenchInputs} inputs
   * @param {BenchResult} result
   */
  judge(inputs, result) {
    const { B, H, T, Dv } = sizesOf(this.request);
    const head = randomBelow(B * H);
    const queries = Array.from({ length: Math.min(T, JUDGED_ROWS) }, () => randomBelow(T));
    const [request, some] = rowsOf(this.request, inputs, head, queries);
    const output = new Float32Array(queries.length * Dv);
    queries.forEach((query, at) => output.set(result.output.subarray((head * T + query) * Dv, (head * T + query + 1) * Dv), at * Dv));
    const expected = reference(request, some);
    const { failures } = judge(request, some, output, expected);
    if (failures.length > 0) return failures[0];
    const sums = Float32Array.from(queries, (query) => result.logsumexp[head * T + query]);
    const unit = weightError(request, expected.kappa).map((x, at) => x + ROUNDOFF.float32 * Math.abs(expected.logsumexp[at]));
    const largest = largestError(sums, expected.logsumexp, unit, (row) => expected.judged[row] === 1, "float32");
    const excess = describeExcess(largest, sums, expected.logsumexp[largest.at], [queries.length]);
    return excess && `logsumexp: ${excess}`;
  }

  /**
   * @param {string[]} notes what to know about the time
   * @returns {BenchTiming}
   */
  record(notes) {
    const empty = /** @type {[]} */ ([]);
    return {
      ...{ implementation: this.implementation.name, case: this.listed.name, threads: 1, status: this.status },
      reasons: this.ended ? [this.reason] : notes,
      ...{ clock: "browser", compile_s: null, warmup_s: this.warm, wall_s: this.wall, cpu_s: empty, rounds: this.rounds },
      ...{ waited_s: empty, yardstick_s: empty, copy_yardstick_s: empty, calls_per_sample: this.calls, peak_bytes: null },
      ...{ page_faults: empty, processes: empty, prepare_s: null, judged: this.judged },
    };
  }

  /**
   * Refuses a time in which the measured limits say that the work can't be done.
   *
   * @param {?BenchLimits} limits
   */
  refuseImpossible(limits) {
    if (limits === null || this.wall.length === 0) return;
    const taken = median(this.wall);
    const share = leastSeconds(this.listed, limits) / taken;
    const tolerance = toleranceOf(limits, this.wall);
    if (share <= 1 + tolerance) return;
    const percent = (/** @type {number} */ x) => `${Math.round(100 * x)}%`;
    const words = `${percent(share)}: ${Number((1e3 * taken).toPrecision(3))} ms, in which this device can neither do ${this.listed.flops.toPrecision(3)} operations nor move ${this.listed.bytes.toPrecision(3)} bytes`;
    this.end("refused", `a time must be within ${percent(1 + tolerance)} of the device's limit; got ${words}`);
  }
}

/**
 * The least time of a case, as least_seconds of attnpanel/bench/measure/roofline.py.
 *
 * @param {ListedCase} listed
 * @param {BenchLimits} limits
 */
export function leastSeconds({ flops, bytes }, limits) {
  const smaller = limits.steps.filter((step) => step.bytes <= bytes).map((step) => step.bytes);
  const least = Math.max(0, ...smaller);
  const rates = limits.steps.filter((step) => step.bytes >= least).map((step) => step.bytes_per_s);
  return Math.max(flops / Math.max(...limits.gemm_flops_per_s), bytes / Math.max(...(rates.length ? rates : limits.copy_bytes_per_s)));
}

/**
 * The measuring error of a share of the limit, as tolerance_of of attnpanel/bench/run/refusals.py.
 *
 * @param {BenchLimits} limits
 * @param {number[]} wall
 */
export function toleranceOf(limits, wall) {
  const sorted = wall.slice().sort((one, other) => one - other);
  /** @param {number} share */
  const quantile = (share) => {
    const at = share * (sorted.length - 1);
    const low = Math.floor(at);
    return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
  };
  const fastest = limits.gemm_flops_per_s.slice().sort((one, other) => one - other).slice(-3);
  const spread = (quantile(0.75) - quantile(0.25)) / (2 * quantile(0.5) * Math.sqrt(wall.length));
  return 0.05 + spread + fastest[fastest.length - 1] / fastest[0] - 1;
}
