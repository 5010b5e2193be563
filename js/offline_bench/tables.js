import { element } from "../components/dom.js";
import { median } from "./clock.js";
import { leastSeconds } from "./timing.js";

// A run as tables: what is certified, and the times by mask and dtype.

/** @type {Record<string, string>} where we ran an implementation; a result of another device may show it right there */
const RUN_BY_US = {
  javascript: "Chromium, Firefox",
  "javascript-wasm": "Chromium, Firefox",
  "webgpu-f32": "a software adapter only",
  "webgpu-f16": "never run by us in a browser",
};
const VERDICTS = /** @type {const} */ (["pass", "fail", "error", "unsupported"]);
const MOST_FAILURES = 12;

/**
 * @param {BenchRun} record
 * @param {OfflineBench} bench
 */
export function resultTables(record, bench) {
  return { times: times(record, bench), certificates: certificates(record), failures: failures(record) };
}

/**
 * @param {(string | HTMLElement)[]} head
 * @param {(string | HTMLElement)[][]} rows
 */
function table(head, rows) {
  const made = element("table");
  const wrapper = element("div", "wide");
  wrapper.tabIndex = 0; // or it could not be scrolled by keys
  wrapper.setAttribute("role", "region");
  wrapper.setAttribute("aria-label", head.map((cell) => (typeof cell === "string" ? cell : cell.textContent)).join(", "));
  const row = (/** @type {(string | HTMLElement)[]} */ cells, /** @type {"th" | "td"} */ tag) => {
    const line = element("tr");
    cells.forEach((cell, at) => {
      const box = element(at === 0 ? "th" : tag);
      if (tag === "td" && at === 0) box.setAttribute("scope", "row");
      box.append(cell);
      line.append(box);
    });
    return line;
  };
  const top = element("thead");
  top.append(row(head, "th"));
  const body = element("tbody");
  body.append(...rows.map((cells) => row(cells, "td")));
  made.append(top, body);
  wrapper.append(made);
  return wrapper;
}

/** @param {BenchRun} record */
function certificates(record) {
  const rows = record.implementations.map((name) => {
    const mine = record.agreements.filter((one) => one.implementation === name);
    const counts = VERDICTS.map((verdict) => {
      const count = mine.filter((one) => one.verdict === verdict).length;
      return element("span", count > 0 ? `is-${verdict}` : "none", String(count));
    });
    const units = mine.flatMap(({ max_ratio }) => (max_ratio === null ? [] : [max_ratio]));
    return [name, ...counts, units.length ? Math.max(...units).toPrecision(2) : "", RUN_BY_US[name] ?? ""];
  });
  return table(["implementation", ...VERDICTS, "worst, in units", "run by us"], rows);
}

/** @param {BenchRun} record @returns {?HTMLElement} each different reason once, with the number of cases */
function failures(record) {
  /** @type {Map<string, number>} */
  const reasons = new Map();
  for (const { implementation, verdict, reasons: why, case: name } of record.agreements) {
    if (verdict === "pass") continue;
    const words = verdict === "unsupported" ? why.join("; ") : `${name}: ${why.join("; ")}`;
    const text = `${implementation}, ${verdict}: ${words}`;
    reasons.set(text, (reasons.get(text) ?? 0) + 1);
  }
  if (reasons.size === 0) return null;
  const list = element("ul", "reasons");
  for (const [text, count] of [...reasons].slice(0, MOST_FAILURES)) list.append(element("li", "", count > 1 ? `${text} (${count} cases)` : text));
  if (reasons.size > MOST_FAILURES) list.append(element("li", "", `and ${reasons.size - MOST_FAILURES} more: the result file has all`));
  return list;
}

/**
 * A table for each mask and dtype: implementations by the number of tokens.
 *
 * @param {BenchRun} record
 * @param {OfflineBench} bench
 */
function times(record, bench) {
  const timed = bench.timed.filter(({ name }) => record.timings.some((row) => row.case === name));
  const families = [...new Set(timed.map(({ case: { request } }) => `${request.mask}, ${request.dtype}`))];
  /** @type {HTMLElement[]} */
  const parts = [];
  for (const family of families) {
    const cases = timed.filter(({ case: { request } }) => `${request.mask}, ${request.dtype}` === family);
    const lengths = [...new Set(cases.map((listed) => listed.case.request.query_len))];
    /** @type {Set<string>} */
    const reasons = new Set();
    const rows = record.implementations
      .filter((name) => record.timings.some((row) => row.implementation === name && cases.some((listed) => listed.name === row.case)))
      .map((name) => [
        nameCell(record, name),
        ...lengths.map((length) => {
          const listed = cases.find(({ name: title, case: { request } }) => {
            return request.query_len === length && record.timings.some((row) => row.implementation === name && row.case === title);
          });
          const row = record.timings.find((one) => one.implementation === name && one.case === listed?.name);
          if (listed === undefined || row === undefined) return "";
          for (const reason of row.reasons.filter((words) => !words.startsWith("software"))) reasons.add(row.status === "timed" ? `${name}, T ${length}: ${reason}` : `${name}: ${row.status}: ${reason}`);
          return timeCell(record, listed, row);
        }),
      ]);
    const { batch, heads, head_dim: width } = cases[0].case.request;
    parts.push(element("h3", "", `Mask ${family} · B${batch} H${heads} D${width}`));
    parts.push(table(["implementation", ...lengths.map((length) => `T ${length}`)], rows));
    if (reasons.size > 0) {
      const list = element("ul", "reasons");
      list.append(...[...reasons].map((reason) => element("li", "", reason)));
      parts.push(list);
    }
  }
  return parts;
}

/** @param {BenchRun} record @param {string} name */
function nameCell(record, name) {
  const cell = element("span", "time", name);
  if (name.startsWith("webgpu") && record.machine["software adapter"]) cell.append(element("small", "", "software adapter: no GPU"));
  return cell;
}

/**
 * @param {BenchRun} record
 * @param {ListedCase} listed
 * @param {BenchTiming} row
 */
function timeCell(record, listed, row) {
  const cell = element("span", "time");
  if (row.wall_s.length === 0) {
    cell.append(element("span", `is-${row.status === "unsupported" ? "unsupported" : "fail"}`, row.status));
    return cell;
  }
  const taken = median(row.wall_s);
  const { device, dtype } = listed.case.request;
  const limits = record.limits.find((one) => one.device === device && one.dtype === dtype);
  const rates = element("span", "rates");
  rates.append(element("small", "", `${Number((listed.flops / taken / 1e9).toPrecision(3))} GFLOP/s`));
  if (limits !== undefined) {
    const share = Math.round((100 * leastSeconds(listed, limits)) / taken);
    rates.append(" ", element("small", "", share < 1 ? "<1% of limit" : `${share}% of limit`));
  }
  cell.append(element("b", "", `${Number((1e3 * taken).toPrecision(3))} ms`), rates);
  return cell;
}
