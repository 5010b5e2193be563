import { findGpu } from "../webgpu/device.js";
import { blankAgreement, certify, exceptionText, prepareCase } from "./certificate.js";
import { STEPS, clockStep, pause, shuffled } from "./clock.js";
import { plainJavaScript, webAssembly } from "./javascript.js";
import { cpuLimits, gpuLimits, latencyOf } from "./limits.js";
import { TimedRow } from "./timing.js";
import { webGpu } from "./webgpu.js";

// A run of the bench in the page: limits, certificates, then times in rounds over all rows, in random order. Its result is a
// BenchRun (attnpanel/bench/run/records.py), which grows as the run goes on.

/** @typedef {{name: string, certified: string[], timed: string[], rounds: number}} Preset */

const LEAST_S = 0.02;

/**
 * What this device has, which the page shows before a run.
 *
 * @param {OfflineBench} bench
 */
export async function lookAround(bench) {
  const gpu = await findGpu();
  const plain = plainJavaScript();
  const wasm = webAssembly();
  const implementations = [plain, wasm, webGpu("webgpu-f32", "float32", gpu, bench.shader), webGpu("webgpu-f16", "float16", gpu, bench.shader)];
  /** @type {Record<string, string>} */
  const facts = {
    "webgpu adapter": typeof gpu === "string" ? `none: ${gpu}` : gpu.words || "the browser names none",
    "webgpu float16": typeof gpu === "string" ? "no" : gpu.half ? "shader-f16" : "no: this adapter has no shader-f16",
    webassembly: wasm.kernel(),
    "offline bench": bench.sources,
  };
  if (typeof gpu !== "string" && gpu.software) {
    facts["software adapter"] = "webgpu is computed by the CPU here: its times are not those of a GPU";
  }
  return { gpu, implementations, facts };
}

/** @typedef {Awaited<ReturnType<typeof lookAround>>} Surroundings */

export class Run {
  stopped = false;
  /** @type {Map<string, import("./certificate.js").PreparedCase | string>} */
  prepared = new Map();
  done = 0;
  total = 0;
  #sent = 0;

  /**
   * @param {OfflineBench} bench
   * @param {Preset} preset
   * @param {Surroundings} surroundings
   * @param {{onProgress: (done: number, total: number, words: string) => void, onRecord: (run: BenchRun) => void}} told
   */
  constructor(bench, preset, surroundings, told) {
    this.bench = bench;
    this.preset = preset;
    this.surroundings = surroundings;
    this.told = told;
    this.certified = bench.certified.filter(({ name }) => preset.certified.includes(name));
    this.timed = bench.timed.filter(({ name }) => preset.timed.includes(name));
    const cases = new Map([...this.certified, ...this.timed].map((listed) => [listed.name, listed]));
    /** @type {BenchRun} */
    this.record = {
      schema: bench.schema,
      preset: `offline-${preset.name}`,
      environment: { ...bench.environment, ...environment(surroundings.facts["webgpu adapter"]) },
      cases: [...cases.values()].map((listed) => listed.case),
      implementations: surroundings.implementations.map(({ name }) => name),
      ...{ agreements: [], timings: [], limits: [], finished: false, gradients: [] },
      machine: { ...surroundings.facts },
    };
    this.cases = [...cases.values()];
  }

  /** Runs it all; a run that is stopped keeps what it has. */
  async all() {
    const pairs = this.pairs(this.cases);
    const rows = this.pairs(this.timed);
    this.total = 1 + pairs.length + rows.length + rows.length * this.preset.rounds;
    await this.limits();
    for (const [implementation, listed] of pairs) {
      if (!(await this.goesOn(`certifying ${implementation.name}: ${listed.name}`))) return;
      this.record.agreements.push(await this.certificate(implementation, listed));
    }
    await this.times(rows);
    if (!this.stopped) this.record.finished = true;
    this.told.onRecord(this.record);
  }

  /** @param {ListedCase[]} cases @returns {[BenchImplementation, ListedCase][]} those of one device */
  pairs(cases) {
    const { implementations } = this.surroundings;
    return cases.flatMap((listed) => {
      const { device, dtype } = listed.case.request;
      const suited = implementations.filter((one) => one.device === device && (device === "cpu" || one.name.endsWith(dtype.slice(-2))));
      return suited.map((one) => /** @type {[BenchImplementation, ListedCase]} */ ([one, listed]));
    });
  }

  /** @param {string} words */
  async goesOn(words) {
    this.told.onProgress(Math.min(this.done++, this.total), this.total, words);
    const { agreements, timings } = this.record;
    if (agreements.length + timings.length !== this.#sent) this.told.onRecord(this.record);
    this.#sent = agreements.length + timings.length;
    await pause();
    return !this.stopped;
  }

  async limits() {
    if (!(await this.goesOn("measuring the clock and the limits"))) return;
    const { gpu } = this.surroundings;
    this.step = clockStep();
    this.latency = 0;
    const least = Math.max(LEAST_S, STEPS * this.step);
    const { machine, limits } = this.record;
    machine["clock step"] = `${Number((1e3 * this.step).toPrecision(3))} ms; a sample lasts ${STEPS} of them at least`;
    try {
      limits.push(await cpuLimits(least));
      if (typeof gpu === "string") return;
      this.latency = await gpu.checked(() => latencyOf(gpu));
      machine["webgpu empty submission"] = `${Number((1e3 * this.latency).toPrecision(3))} ms, part of every sample`;
      machine["webgpu transfers"] = "not timed: inputs are on the device before, results stay there; 16 bytes of the last are read back";
      limits.push(...(await gpuLimits(gpu, gpu.half ? ["float32", "float16"] : ["float32"], least)));
    } catch (error) {
      machine["limits"] = `not all measured: ${exceptionText(error)}`;
    }
  }

  /** @param {ListedCase} listed a case with its reference, or why it can't be had */
  prepare(listed) {
    // The numbers of a case are the same on every device.
    const key = listed.name.replace(" webgpu", "");
    let found = this.prepared.get(key);
    if (found === undefined) {
      if (this.prepared.size > 4) this.prepared.clear();
      try {
        found = prepareCase(listed, this.bench.masks);
      } catch (error) {
        found = exceptionText(error);
      }
      this.prepared.set(key, found);
    }
    return typeof found === "string" ? found : { ...found, listed, request: listed.case.request };
  }

  /** @param {BenchImplementation} implementation @param {ListedCase} listed @returns {Promise<BenchAgreement>} */
  async certificate(implementation, listed) {
    const blank = blankAgreement(implementation.name, listed.name);
    const reasons = implementation.unsupported(listed.case.request);
    if (reasons.length > 0) return { ...blank, verdict: "unsupported", reasons };
    const prepared = this.prepare(listed);
    if (typeof prepared === "string") return { ...blank, verdict: "error", reasons: [prepared] };
    return certify(implementation, prepared, this.bench.masks);
  }

  /** @param {[BenchImplementation, ListedCase][]} pairs */
  async times(pairs) {
    /** @type {TimedRow[]} */
    const rows = [];
    const clock = { step: this.step ?? 1, latency: 0 };
    for (const [implementation, listed] of pairs) {
      if (!(await this.goesOn(`warming up ${implementation.name}: ${listed.name}`))) break;
      const agreement = this.record.agreements.find((one) => one.implementation === implementation.name && one.case === listed.name);
      const prepared = agreement?.verdict === "pass" ? this.prepare(listed) : (agreement?.reasons.join("; ") ?? "not certified");
      const latency = implementation.finish === null ? 0 : (this.latency ?? 0);
      if (typeof prepared === "string") {
        this.record.timings.push(untimed(implementation.name, listed.name, agreement, prepared));
        continue;
      }
      const row = new TimedRow(implementation, prepared, { ...clock, latency });
      await row.warmUp();
      rows.push(row);
    }
    const { rounds } = this.preset;
    // Twice as many at most: samples that were too short for the clock are taken anew.
    for (let round = 0; round < 2 * rounds && !this.stopped; round++) {
      for (const row of shuffled(rows.filter((each) => !each.complete(rounds)))) {
        if (!(await this.goesOn(`round ${round + 1}: ${row.implementation.name}: ${row.listed.name}`))) break;
        await row.visit(round);
      }
    }
    for (const row of rows) {
      if (!row.ended && !this.stopped) await row.askDevice();
      const { device, dtype } = row.request;
      row.refuseImpossible(this.record.limits.find((one) => one.device === device && one.dtype === dtype) ?? null);
      if (row.ended || row.wall.length > 0) this.record.timings.push(row.record(this.notes(row)));
    }
  }

  /** @param {TimedRow} row @returns {string[]} what to know about its time */
  notes(row) {
    const notes = [];
    if (row.implementation.device === "webgpu" && this.record.machine["software adapter"]) notes.push("software adapter: the CPU computes");
    const share = row.clock.latency / (row.calls * Math.min(...row.wall));
    if (row.device > 0) notes.push(`one call by the device's own clock: ${Number((1e3 * row.device).toPrecision(3))} ms`);
    if (share > 0.1) notes.push(`up to ${Math.round(100 * share)}% of it is the wait of an empty submission`);
    return notes;
  }
}

/**
 * @param {string} implementation
 * @param {string} name
 * @param {BenchAgreement | undefined} agreement
 * @param {string} reason
 * @returns {BenchTiming}
 */
function untimed(implementation, name, agreement, reason) {
  const verdict = agreement?.verdict ?? "error";
  const status = verdict === "fail" ? "not certified" : verdict === "unsupported" ? "unsupported" : "error";
  const memory = status === "error" && /out of memory|allocation/i.test(reason);
  const empty = /** @type {[]} */ ([]);
  return {
    ...{ implementation, case: name, threads: 1, status: memory ? "out of memory" : status, reasons: [reason], clock: "browser" },
    ...{ compile_s: null, warmup_s: empty, wall_s: empty, cpu_s: empty, rounds: empty, waited_s: empty, yardstick_s: empty },
    ...{ copy_yardstick_s: empty, calls_per_sample: 1, peak_bytes: null, page_faults: empty, processes: empty },
    ...{ prepare_s: null, judged: 0 },
  };
}

/**
 * What the browser tells of the machine.
 *
 * @param {string} adapter
 */
function environment(adapter) {
  const { userAgent, hardwareConcurrency, platform } = navigator;
  return {
    date_utc: new Date().toISOString().replace(/\.\d+Z$/, "+00:00"),
    cpu_model: `a processor that the browser does not tell; WebGPU adapter ${adapter}`,
    cores: hardwareConcurrency || 1,
    os: platform || "not told by the browser",
    browser: userAgent,
  };
}
