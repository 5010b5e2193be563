import { t } from "../core/translate.js";
import { element } from "../components/dom.js";
import { showPieces } from "../components/pieces.js";

// The error map: choices, both heatmaps and the largest difference. On a served page Python computes (`answer`); in a
// file the page uses recorded errors (`recorded`).

const TITLES = { first: t("Compare"), second: t("with"), dtype: "dtype", mask: t("mask"), temperature: "τ" };
const BEYOND = 1e9;

/**
 * @typedef {{first: string, second: string, dtype: string, mask: string, temperature: string}} Choice
 * @typedef {{asked?: Record<string, unknown>, problem?: string, output?: number[], weights?: number[],
 *   visible?: number[]}} Answer rows of size * size cells, or the reason why there are none
 * @typedef {Choice & {choices: Record<string, string[]>, size: number, answer: Answer, recorded: {settings?: Record<string, any>}}} ErrorChoices
 */

/** @param {string} text */
function bytes(text) {
  const letters = atob(text);
  return Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
}

/**
 * Decodes float16: sign, 5 bits of exponent, 10 of fraction.
 *
 * @param {string} text
 */
function halves(text) {
  return Float64Array.from(new Uint16Array(bytes(text).buffer), (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  });
}

/**
 * The recorded answer: |first - second| in units, or the reason why there is none.
 *
 * @param {{ settings: Record<string, any>, size: number }} recorded
 * @param {Choice} choice
 * @returns {Answer}
 */
function recall({ settings, size }, { first, second, ...setting }) {
  const found = settings[[setting.dtype, setting.mask, setting.temperature].join(" ")];
  const sides = [first, second].map((name) => found?.sides[name] ?? { reason: t("{name} was not recorded", { name }) });
  const reason = sides.find((side) => side.reason)?.reason;
  if (reason) return { problem: reason };
  const visible = bytes(found.visible);
  const coarser = halves(found.coarser);
  const coarse = sides.some((side) => side.coarse);
  const [a, b] = sides.map((side) => halves(side.errors));
  const cells = size * size;
  /** @param {number} start */
  const part = (start) =>
    Array.from({ length: cells }, (_, i) => {
      const [one, other] = [a[start + i], b[start + i]];
      if (Number.isNaN(one) && Number.isNaN(other)) return 0;
      if (Number.isNaN(one) || Number.isNaN(other)) return BEYOND;
      const row = Math.floor(i / size);
      // Inf minus Inf: errors beyond the range of 16 bits count as equal.
      const apart = one === other ? 0 : Math.abs(one - other);
      const empty = visible.subarray(row * size, (row + 1) * size).every((seen) => !seen);
      return empty && apart > 0 ? BEYOND : Math.min(apart / (coarse ? coarser[row] : 1), BEYOND);
    });
  return { output: part(0), weights: part(cells), visible: [...visible] };
}

/**
 * The largest value of the given rows, as [value, row, column].
 *
 * @param {number[]} values
 * @param {number} size
 * @param {boolean[]} rows
 * @returns {[number, number, number]}
 */
function largest(values, size, rows) {
  let at = 0;
  let most = -1;
  values.forEach((value, i) => {
    if (value > most && rows[Math.floor(i / size)]) [most, at] = [value, i];
  });
  return [most, Math.floor(at / size), at % size];
}

/** @param {{output: number[], weights: number[], visible: number[]}} answer @param {Choice} choice @param {number} size */
function sentence(answer, { first, second }, size) {
  const sees = Array.from({ length: size }, (_, row) => answer.visible.slice(row * size, (row + 1) * size).some(Boolean));
  /** @param {number} value */
  const inUnits = (value) => (value >= BEYOND ? t("beyond every unit") : t("{count} units", { count: value.toFixed(2) }));
  const [output, query, channel] = largest(answer.output, size, sees);
  const [weights, row, key] = largest(answer.weights, size, sees);
  const most = Math.max(output, weights);
  /** @type {Piece[]} */
  const pieces = [
    ["pair", first === second ? first : `${first} − ${second}`],
    ["plain", t("output differs by at most")],
    ["number", inUnits(output)],
    ["plain", output > 0 ? t("(query {query}, channel {channel}),", { query, channel }) : t("(nowhere),")],
    ["plain", t("weights by at most")],
    ["number", inUnits(weights)],
    ["plain", weights > 0 ? t("(query {query} → key {key}).", { query: row, key }) : t("(nowhere).")],
    ["result", most === 0 ? t("Bit for bit the same.") : most <= 8 ? t("Rounding explains it.") : t("Rounding does not explain it.")],
  ];
  const empty = sees.flatMap((seen, i) => (seen ? [] : [i]));
  if (empty.length) {
    const others = empty.some((emptyRow) => answer.output.slice(emptyRow * size, (emptyRow + 1) * size).some((value) => value > 0));
    const rows = { first: empty[0], last: empty.at(-1) };
    pieces.push([
      "plain",
      others
        ? t("Queries {first} to {last} see no key: the two fill them differently.", rows)
        : t("Queries {first} to {last} see no key: the two fill them alike.", rows),
    ]);
  }
  return { pieces, worst: { output: [query, channel, output], weights: [row, key, weights] } };
}

/** @param {Props<ErrorChoices>} props */
export function render({ model }) {
  /** @type {Record<string, any>} the choices by name */
  const values = model;
  const box = element("div", "bench-error-choices");
  const chosen = () => /** @type {Choice} */ (Object.fromEntries(Object.keys(TITLES).map((name) => [name, values[name]])));
  const line = element("p", "attn-sentence");
  line.setAttribute("role", "status");
  const quietly = { sync: false };

  const choices = element("div", "bench-error-row");
  for (const [name, title] of Object.entries(TITLES)) {
    const label = element("label", "bench-choice");
    const words = element("span", "", title);
    const select = element("select", "bk-input");
    select.setAttribute("aria-label", title); // else its options would be part of its name
    select.name = name;
    for (const choice of model.choices[name]) {
      const option = element("option", "", String(choice).replaceAll("_", " "));
      option.value = choice;
      option.translate = false; // a name
      select.append(option);
    }
    select.value = values[name];
    select.addEventListener("change", () => {
      values[name] = select.value;
    });
    model.on(name, () => {
      select.value = values[name];
      answer();
    });
    label.append(words, select);
    choices.append(label);
  }
  box.append(choices, line);

  /** @param {string} kind @param {number[]} values @param {number[]} visible @param {number[]} at */
  const write = (kind, values, visible, at) => {
    const source = model.document.get_model_by_name(`bench:error:${kind}`);
    const figure = model.document.get_model_by_name(`bench:plot:error:${kind}`);
    if (!source || !figure) return;
    /** @param {number} i */
    const masked = (i) => kind === "weights" && !visible[i] && values[i] === 0;
    source.data.image[0].set(values.map((value, i) => (masked(i) ? NaN : Math.min(value, BEYOND))));
    const outline = figure.center.find((/** @type {BokehModel} */ box) => box.name === "attn:outline");
    const [row, column, most] = at;
    const sides = { left: column - 0.5, right: column + 0.5, bottom: row - 0.5, top: row + 0.5 };
    outline.setv({ ...sides, visible: most > 0 }, quietly);
    source.change.emit();
  };
  /**
   * Dims the plots while they show the answer to an earlier question.
   *
   * @param {boolean} dimmed
   */
  const dim = (dimmed) => {
    for (const kind of ["output", "weights"]) {
      const figure = model.document.get_model_by_name(`bench:plot:error:${kind}`);
      figure?.setv({ styles: { ...figure.styles, opacity: dimmed ? "0.15" : "1" } }, quietly);
    }
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  /** @param {Answer} answer */
  const draw = (answer) => {
    clearTimeout(waiting);
    const { output, weights, visible } = answer;
    dim(!output);
    if (!output || !weights || !visible) {
      line.textContent = answer.problem ? t("{problem}. Choose something else.", { problem: answer.problem }) : t("Computing …");
      const longer = () => (line.textContent = t("Computing … what compiles first can take a minute."));
      if (!answer.problem) waiting = setTimeout(longer, 3000);
      return;
    }
    const { pieces, worst } = sentence({ output, weights, visible }, chosen(), model.size);
    showPieces(line, pieces);
    write("output", output, visible, worst.output);
    write("weights", weights, visible, worst.weights);
  };
  const answer = () => {
    const now = chosen();
    const { settings } = model.recorded;
    if (settings) draw(recall({ settings, size: model.size }, now));
    else {
      // An answer to an earlier question would have the wrong title.
      const { asked = {} } = model.answer;
      draw(Object.entries(now).every(([name, value]) => asked[name] === value) ? model.answer : {});
    }
  };
  model.on("remove", () => clearTimeout(waiting));
  model.on("answer", answer);
  model.on("after_render", answer);
  answer();
  return box;
}
