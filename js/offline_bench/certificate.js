import { CHECKS } from "./checks.js";
import { inputsDigest, makeInputs, sizesOf } from "./inputs.js";
import { judge, outputUnit, positionOf, weightError } from "./judge.js";
import { reference } from "./reference.js";

// The certificate of an implementation on a case: attnpanel/bench/certify/certificate.py, for forward calls.

// Of a reference against Python's, in units: rounding of float64 is 2e-9 of one.
const SAME_REFERENCE = 1e-4;

// Scores times channels beyond which only some rows are judged, by fewer checks: each call takes long.
const SAMPLED_WORK = 2 ** 25;
const SAMPLED_ROWS = 32;
const SAMPLED_CHECKS = ["output", "logsumexp", "masked keys", "empty rows", "repeated calls", "determinism"];

/**
 * A case with its inputs and its reference, once both are found to be Python's.
 *
 * @param {ListedCase} listed
 * @param {MaskTable} masks
 */
export function prepareCase(listed, masks) {
  const { request } = listed.case;
  const inputs = makeInputs(listed.case, masks);
  if (inputsDigest(inputs) !== listed.digest) throw new Error("the inputs drawn here differ from those that Python drew");
  const { B, H, T, S, D, Dv } = sizesOf(request);
  const sampled = B * H * T * S * (D + Dv) > SAMPLED_WORK;
  // Among them the first and the last, and both sides of a kernel's blocks.
  const every = Math.ceil(T / SAMPLED_ROWS);
  const only = (/** @type {number} */ i) => i === T - 1 || i % every === 0 || (i + 1) % (8 * every) === 0;
  const expected = reference(request, inputs, sampled ? { only } : { weights: B * H * T * S <= 2 ** 22 });
  const unit = outputUnit(request, expected);
  for (const [at, right] of listed.samples) {
    if (expected.judged[Math.floor(at / Dv)] && !(Math.abs(expected.output[at] - right) <= SAME_REFERENCE * unit[at])) {
      throw new Error(`the reference computed here differs from Python's: ${expected.output[at]} and ${right} at ${at}`);
    }
  }
  return { listed, request, inputs, expected, unit, sampled, relative: weightError(request, expected.kappa) };
}

/** @typedef {ReturnType<typeof prepareCase>} PreparedCase */

/** What the checks of one certificate share. */
export class Subject {
  /** @type {BenchResult} */
  first = /** @type {any} */ (null);

  /**
   * @param {BenchImplementation} implementation
   * @param {PreparedCase} prepared
   * @param {MaskTable} masks
   */
  constructor(implementation, prepared, masks) {
    this.implementation = implementation;
    this.masks = masks;
    this.prepared = prepared;
    this.request = prepared.request;
    this.inputs = prepared.inputs;
    this.expected = prepared.expected;
    this.sizes = sizesOf(prepared.request);
    /** the call of the case's own inputs */
    this.call = implementation.prepare(prepared.request, prepared.inputs);
  }

  /** @param {BenchCall} call */
  async again(call) {
    call.start();
    await this.implementation.finish?.(call);
    return call.read();
  }

  /**
   * The result of other inputs.
   *
   * @param {Partial<BenchInputs>} changed
   */
  async run(changed) {
    const call = this.implementation.prepare(this.request, { ...this.inputs, ...changed });
    const result = await this.again(call);
    call.release();
    return result;
  }

  /** @param {number} row @returns {boolean} */
  sees(row) {
    return this.expected.last[row] >= 0;
  }
}

/**
 * Certifies an implementation on a case; what it throws is the verdict "error".
 *
 * @param {BenchImplementation} implementation
 * @param {PreparedCase} prepared
 * @param {MaskTable} masks
 * @returns {Promise<BenchAgreement>}
 */
export async function certify(implementation, prepared, masks) {
  const blank = blankAgreement(implementation.name, prepared.listed.name);
  const reasons = implementation.unsupported(prepared.request);
  if (reasons.length > 0) return { ...blank, verdict: "unsupported", reasons };
  try {
    return await implementation.guard(async () => {
      const subject = new Subject(implementation, prepared, masks);
      subject.first = await subject.again(subject.call);
      const found = await certified(blank, subject);
      subject.call.release();
      return found;
    });
  } catch (error) {
    return { ...blank, verdict: "error", reasons: [exceptionText(error)] };
  }
}

/**
 * @param {BenchAgreement} blank
 * @param {Subject} subject
 * @returns {Promise<BenchAgreement>}
 */
async function certified(blank, subject) {
  const { B, H, T, Dv } = subject.sizes;
  const { output, logsumexp } = subject.first;
  if (output.length !== B * H * T * Dv || logsumexp.length !== B * H * T) {
    const detail = `the output must hold ${B * H * T * Dv} numbers; got ${output.length}`;
    return { ...blank, verdict: "fail", reasons: [`shape: ${detail}`], checks: [{ name: "shape", verdict: "fail", detail }] };
  }
  /** @type {BenchCheck[]} */
  const checks = [{ name: "shape", verdict: "pass", detail: "" }];
  for (const [name, check] of CHECKS) {
    if (subject.prepared.sampled && !SAMPLED_CHECKS.includes(name)) continue;
    try {
      const failure = await check(subject);
      if (failure !== null) checks.push({ name, verdict: failure === "" ? "pass" : "fail", detail: failure });
    } catch (error) {
      checks.push({ name, verdict: "error", detail: exceptionText(error) });
    }
  }
  const failed = checks.filter(({ verdict }) => verdict !== "pass");
  const error = failed.length > 0 && failed.every(({ verdict }) => verdict === "error");
  return {
    ...blank,
    verdict: error ? "error" : failed.length > 0 ? "fail" : "pass",
    reasons: failed.map(({ name, detail }) => `${name}: ${detail}`),
    checks,
    ...errorsOf(subject),
  };
}

/**
 * The error statistics over the finite outputs of rows that see a key, as `errors` of checks_numeric.py.
 *
 * @param {Subject} subject
 */
function errorsOf({ first, request, inputs, expected, sizes }) {
  const { B, H, T, Dv } = sizes;
  const { ratio, at, ratios } = judge(request, inputs, first.output, expected);
  /** @type {number[]} */
  const judged = [];
  let [mismatches, signed, largest, squares, size] = [0, 0, 0, 0, 0];
  first.output.forEach((got, index) => {
    if (expected.judged[Math.floor(index / Dv)] === 0) return;
    if (!Number.isFinite(got)) {
      mismatches += 1;
      return;
    }
    const error = got - expected.output[index];
    judged.push(ratios[index]);
    signed += error;
    largest = Math.max(largest, Math.abs(error));
    squares += error ** 2;
    size += expected.output[index] ** 2;
  });
  if (judged.length === 0) return {};
  judged.sort((one, other) => one - other);
  const middle = (judged[Math.floor((judged.length - 1) / 2)] + judged[Math.floor(judged.length / 2)]) / 2;
  return {
    max_ratio: mismatches ? null : ratio,
    median_ratio: mismatches ? null : middle,
    worst: mismatches ? null : positionOf(at, [B, H, T, Dv]),
    mean_signed_error: signed / judged.length,
    max_abs_error: largest,
    relative_frobenius: size > 0 ? Math.sqrt(squares / size) : null,
    nonfinite_mismatches: mismatches,
  };
}

/**
 * @param {string} implementation
 * @param {string} name
 * @returns {BenchAgreement}
 */
export function blankAgreement(implementation, name) {
  return {
    ...{ implementation, case: name, verdict: "pass", basis: "computed", reasons: [], checks: [], max_ratio: null },
    ...{ median_ratio: null, worst: null, mean_signed_error: null, max_abs_error: null, relative_frobenius: null },
    ...{ nonfinite_mismatches: null, grade: null },
  };
}

/** @param {unknown} error */
export function exceptionText(error) {
  const { name = "Error", message = String(error) } = /** @type {Error} */ (error ?? {});
  return `${name}: ${message}`.split("\n")[0].slice(0, 300);
}

