import { entropy, meanDistance } from "./attention.js";

// What the page says, and which choices exist: the words of attnpanel's state.py, controls.py, explorer.py
// and views/sentence.py. Pure: no DOM. Texts are plain, never markup; numbers are written as Python does.

/**
 * One attention call of a trace, as trace_data.js opens it; only what is read here.
 *
 * @typedef {{layer: string, B: number, H: number, T: number, S: number, Dv: ?number, live: boolean,
 *   hasValue: boolean, hasColours: boolean, hasBias: boolean, scale: number, usualScale: boolean,
 *   softCap: ?number, sinks: ?number[], dtype: string}} Call
 * @typedef {{source: string, model: string, calls: Call[], colorSeed?: number,
 *   tokensOf: (call: Call, batch: number) => {queries: string[], keys: string[]}}} Trace
 */

/**
 * Every choice a reader can make, as attnpanel.state.ExplorerState.
 *
 * @typedef {{layer: number, head: number, aggregate: boolean, batch: number, query_index: number,
 *   temperature: number, mask: string, pad_len: number, window: number, align: string, empty_rows: string,
 *   color_seed: number, weight_scale: string, skip_first: boolean, pair: ?number[], viewport: ?number[],
 *   dark: boolean}} State
 */

const START = {
  layer: 0,
  head: 0,
  aggregate: false,
  batch: 0,
  query_index: 0,
  temperature: 1,
  mask: "none",
  pad_len: 1,
  window: 3,
  align: "top_left",
  empty_rows: "zero",
  color_seed: 0,
  weight_scale: "square root",
  skip_first: false,
  pair: null,
  viewport: null,
  dark: false,
};

// As attnpanel.masks.MASKS.
const MASK_KINDS = [
  { kind: "none", label: "none", needs: [] },
  { kind: "padding", label: "padding", needs: ["pad_len"] },
  { kind: "causal", label: "causal", needs: [] },
  { kind: "key_padding", label: "key padding", needs: ["pad_len"] },
  { kind: "window", label: "window", needs: ["window"] },
];

// What an address carries, in reading order: its name there, the choice behind it, and how a page calls that.
const ADDRESS = [
  ["layer", "layer", "Layer"],
  ["head", "head", "Head"],
  ["mean", "aggregate", "Aggregate heads"],
  ["token", "query_index", "Token i"],
  ["temperature", "temperature", "Temperature"],
  ["mask", "mask", "Mask"],
  ["pad", "pad_len", "Pad length"],
  ["window", "window", "Window"],
  ["align", "align", "Causal alignment"],
  ["empty", "empty_rows", "Empty rows"],
  ["batch", "batch", "Batch"],
  ["paint", "color_seed", "Paint seed"],
  ["scale", "weight_scale", "Colour scale"],
  ["nosink", "skip_first", "Scale without first token"],
];
// Choices that are on or off.
export const SWITCHES = new Set(["aggregate", "skip_first"]);
// Left out of the address while they are as they start.
const UNSAID = new Set(["aggregate", "batch", "align", "color_seed", "weight_scale", "skip_first"]);

// Numbers and tokens.

/**
 * A number with so many decimals, as Python's f"{number:.2f}": a tie goes to the even digit, and -0 keeps its
 * sign.
 *
 * @param {number} number
 * @param {number} decimals from 0
 * @returns {string}
 */
export function fixed(number, decimals) {
  if (!Number.isFinite(number)) return unfinite(number);
  const size = Math.abs(number);
  // toFixed writes numbers from 1e21 on as powers of ten; they are whole.
  const decimal = size < 1e21 ? size.toFixed(decimals) : BigInt(size) + (0).toFixed(decimals).slice(1);
  return signOf(number) + toEven(decimal, size, decimals);
}

/**
 * A number with so many significant digits and no trailing zeros, as Python's f"{number:.3g}".
 *
 * @param {number} number
 * @param {number} digits from 1
 * @returns {string}
 */
export function general(number, digits) {
  if (!Number.isFinite(number)) return unfinite(number);
  const size = Math.abs(number);
  const [mantissa, power] = size.toExponential(digits - 1).split("e");
  const exponent = Number(power);
  const figures = toEven(mantissa, size, digits - 1 - exponent).replace(".", "");
  return signOf(number) + placed(figures, exponent, digits);
}

/** Digits, of which the first counts 10 ** exponent, as Python's "g" sets them. */
function placed(figures, exponent, digits) {
  if (exponent < -4 || exponent >= digits) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${trimmed(figures[0], figures.slice(1))}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (exponent < 0) return trimmed("0", "0".repeat(-exponent - 1) + figures);
  return trimmed(figures.slice(0, exponent + 1), figures.slice(exponent + 1));
}

function trimmed(whole, decimals) {
  const kept = decimals.replace(/0+$/, "");
  return kept === "" ? whole : `${whole}.${kept}`;
}

function unfinite(number) {
  if (Number.isNaN(number)) return "nan";
  return number < 0 ? "-inf" : "inf";
}

function signOf(number) {
  return number < 0 || Object.is(number, -0) ? "-" : "";
}

/** Rounded text of a number that lies midway between two ends in the even one; JavaScript takes the upper. */
function toEven(text, number, decimals) {
  const last = Number(text.at(-1));
  if (last % 2 === 0 || !midway(number, decimals)) return text;
  return text.slice(0, -1) + (last - 1);
}

/** Whether a number is exactly k + 1/2 units of 10 ** -decimals. */
function midway(number, decimals) {
  if (decimals >= 0) {
    // Such a number is an odd multiple of 2 ** -(decimals + 1), and this product is exact.
    const halves = number * 2 ** (decimals + 1);
    return Number.isInteger(halves) && halves % 2 !== 0;
  }
  if (!Number.isInteger(number)) return false;
  const unit = 10n ** BigInt(-decimals);
  return (2n * BigInt(number)) % unit === 0n && ((2n * BigInt(number)) / unit) % 2n === 1n;
}

// As str.isprintable has it: no control, format, unassigned or private character, no space but the plain one.
// Which characters are assigned is what the browser's Unicode says.
const UNPRINTABLE = /\p{C}|(?! )\p{Z}/gu;
const PLAIN = /^[ -~]*$/;

/**
 * A label that fits beside a plot.
 *
 * @param {string} text
 * @param {number} [most] characters (code points)
 * @returns {string}
 */
export function shorten(text, most = 14) {
  if (text.length <= most && PLAIN.test(text)) return text;
  return cut(text.replace(UNPRINTABLE, "·"), most);
}

function cut(text, most) {
  return [...text].length <= most ? text : `${firstOf(text, most - 1)}…`;
}

function firstOf(text, count) {
  return [...text].slice(0, count).join("");
}

/** A token as quoted in running text, cut to a readable length. */
function quoted(token) {
  return `“${cut(token, 32)}”`;
}

// Per row of tokens: cutting hundreds of labels anew would cost more than the picture they stand beside.
const LABELS_OF = new WeakMap();
const TOKEN_WORDS_OF = new WeakMap();

/**
 * Tick labels of the tokens; the same array for the same tokens.
 *
 * @param {string[]} tokens
 * @returns {string[]}
 */
export function labelsOf(tokens) {
  if (!LABELS_OF.has(tokens)) LABELS_OF.set(tokens, tokens.map((token) => shorten(token)));
  return LABELS_OF.get(tokens);
}

// Which choices exist.

/**
 * The masks one can choose in this trace.
 *
 * @param {Trace} trace
 * @returns {string[]}
 */
export function masksOf(trace) {
  const kinds = MASK_KINDS.map((row) => row.kind);
  return trace.source === "toy" ? kinds : ["model", ...kinds];
}

/**
 * The least and the largest value of each number, in the layer shown.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {Record<string, [number, number]>}
 */
export function bounds(trace, state) {
  const call = trace.calls[state.layer];
  return {
    layer: [0, trace.calls.length - 1],
    head: [0, call.H - 1],
    batch: [0, call.B - 1],
    query_index: [0, call.T - 1],
    temperature: [0.01, 100],
    pad_len: [0, call.S],
    window: [1, Math.max(call.T, call.S)],
    color_seed: [0, (trace.seeds ?? 2 ** 31) - 1], // a report holds a few projections only
  };
}

/**
 * What a trace starts with.
 *
 * @param {Trace} trace
 * @param {boolean} [dark]
 * @returns {State}
 */
export function startState(trace, dark = false) {
  return fitTrace(trace, { ...START, dark });
}

/**
 * The state for a trace that was not shown before: mask, policy and pad length as it starts with.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {State} a new one
 */
export function fitTrace(trace, state) {
  const toy = trace.source === "toy";
  const layer = Math.min(state.layer, trace.calls.length - 1);
  const rules = { mask: toy ? "none" : "model", empty_rows: toy ? "uniform" : "zero" };
  return fitLayer(trace, { ...state, layer, ...rules, pad_len: trace.calls[layer].S });
}

/**
 * The state with head, token, batch, pad length and window inside the layer's shape, and no pair.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {?number} [before] the layer shown until now: the part on screen stays if its shape is the same
 * @returns {State} a new one
 */
export function fitLayer(trace, state, before = null) {
  const call = trace.calls[state.layer];
  const old = trace.calls[before];
  const fitted = { ...state, pair: null };
  if (old?.T !== call.T || old?.S !== call.S) fitted.viewport = null;
  const ranges = bounds(trace, state);
  for (const name of ["head", "batch", "query_index", "pad_len", "window"]) {
    fitted[name] = Math.min(state[name], ranges[name][1]);
  }
  return fitted;
}

/**
 * The state with another layer on screen.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {number} layer
 * @returns {State} the same one if the layer is
 */
export function chooseLayer(trace, state, layer) {
  return layer === state.layer ? state : fitLayer(trace, { ...state, layer }, state.layer);
}

/**
 * The controls that do nothing now, each with the reason in words.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {?{empty: Uint8Array}} selection as select gives it; null where it can't be computed
 * @returns {Record<string, string>}
 */
export function unavailable(trace, state, selection) {
  const call = trace.calls[state.layer];
  const mask = call.live ? state.mask : "model";
  const needs = MASK_KINDS.find((row) => row.kind === mask)?.needs ?? [];
  const aligned = mask === "causal" || mask === "window";
  const recorded = "Only the weights were recorded, so they can't be recomputed.";
  // Later rows win: a control may be idle for more than one reason.
  const rules = [
    ["layer", trace.calls.length === 1, "This trace has one layer."],
    ["head", state.aggregate, "The mean over all heads is shown."],
    ["head", call.H === 1, "This layer has one head."],
    ["aggregate", call.H === 1, "This layer has one head."],
    ["query_index", call.T === 1, "There is one query token."],
    ["batch", call.B === 1, "There is one sequence."],
    ["temperature", !call.live, recorded],
    ["mask", !call.live, recorded],
    ["pad_len", !needs.includes("pad_len"), "It matters under the padding masks only."],
    ["window", Math.max(call.T, call.S) === 1, "There is one token."],
    ["window", !needs.includes("window"), "It matters under the window mask only."],
    ["align", !aligned, "It matters under the causal and window masks only."],
    ["align", call.T === call.S, "There are as many queries as keys."],
    ["empty_rows", call.sinks !== null, "The attention sink takes the whole of such a row."],
    ["empty_rows", !selection?.empty.includes(1), "Every query sees a key."],
    ["skip_first", call.S === 1, "There is one key token."],
    ["color_seed", !call.hasValue, "The values were left out, so the colours can't be mixed anew."],
    ["color_seed", !call.hasColours, "No values were kept in this trace."],
  ];
  return Object.fromEntries(rules.filter(([, idle]) => idle).map(([name, , reason]) => [name, reason]));
}

/**
 * The text beside each position of a slider.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {{layer: string[], head: string[], batch: string[], query_index: string[]}}
 */
export function sliderWords(trace, state) {
  const call = trace.calls[state.layer];
  return {
    layer: layerNumbers(trace).map((number) => `${number} of ${trace.layerCount ?? trace.calls.length}`),
    head: headNumbers(call).map((number) => `${number} of ${trace.headCount ?? call.H}`),
    batch: numbered(call.B),
    query_index: tokenWords(trace.tokensOf(call, state.batch).queries),
  };
}

/** The number of each layer: its place, or where layers were chosen that in the whole trace. */
function layerNumbers(trace) {
  return trace.calls.map((call, index) => call.number ?? index);
}

function headNumbers(call) {
  return call.headNumbers ?? Array.from({ length: call.H }, (_, index) => index);
}

function numbered(count) {
  return Array.from({ length: count }, (_, index) => `${index} of ${count}`);
}

function tokenWords(tokens) {
  const words = () => tokens.map((token, index) => `${index} · ${shorten(token, 18)}`);
  if (!TOKEN_WORDS_OF.has(tokens)) TOKEN_WORDS_OF.set(tokens, words());
  return TOKEN_WORDS_OF.get(tokens);
}

// The address.

/**
 * The choices that matter now as short texts, in reading order, for a link that restores them.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {?{empty: Uint8Array}} selection
 * @returns {Record<string, string>}
 */
export function toAddress(trace, state, selection) {
  const idle = unavailable(trace, state, selection);
  const texts = {};
  for (const [short, name] of ADDRESS) {
    const value = state[name];
    if (name in idle || (UNSAID.has(name) && value === START[name])) continue;
    texts[short] = name === "temperature" ? general(value, 6) : String(value);
    if (SWITCHES.has(name)) texts[short] = value ? "1" : "0";
    if (name === "layer") texts[short] = String(layerNumbers(trace)[value]);
    if (name === "head") texts[short] = String(headNumbers(trace.calls[state.layer])[value]);
  }
  return texts;
}

/**
 * The state with the choices that a link carries; unusable ones are left out and named.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {Record<string, string>} texts as toAddress makes them; other names are ignored
 * @returns {{state: State, problems: string[]}} one sentence for each choice that could not be restored
 */
export function fromAddress(trace, state, texts) {
  const problems = [];
  let restored = state;
  for (const [short, name, label] of ADDRESS) {
    if (!Object.hasOwn(texts, short)) continue;
    const value = choiceOf(trace, restored, name, texts[short]);
    if (value === null) problems.push(`${label}: “${firstOf(texts[short], 40)}” does not apply here.`);
    else if (name === "layer") restored = chooseLayer(trace, restored, value);
    else restored = { ...restored, [name]: value };
  }
  return { state: restored, problems };
}

/** The choice that a text stands for, or null where there is no such choice. */
function choiceOf(trace, state, name, text) {
  const choices = {
    aggregate: ["0", "1"],
    skip_first: ["0", "1"],
    mask: masksOf(trace),
    align: ["top_left", "bottom_right"],
    empty_rows: ["zero", "uniform", "nan"],
    weight_scale: ["square root", "linear", "per row"],
  };
  if (name in choices && !choices[name].includes(text)) return null;
  if (SWITCHES.has(name)) return text === "1";
  if (name in choices) return text;
  let value = name === "temperature" ? readFloat(text) : readInteger(text);
  if (name === "layer") value = layerNumbers(trace).indexOf(value);
  if (name === "head") value = headNumbers(trace.calls[state.layer]).indexOf(value);
  const [low, high] = bounds(trace, state)[name];
  return value >= low && value <= high ? value : null;
}

// As Python's int() and float() read a text, in ASCII digits; nan where it is none.
const INTEGER = /^[+-]?\d+(_\d+)*$/;
const FLOAT = /^[+-]?(\d+(_\d+)*\.?(\d+(_\d+)*)?|\.\d+(_\d+)*)(e[+-]?\d+(_\d+)*)?$/i;

function readInteger(text) {
  return INTEGER.test(text.trim()) ? Number(text.replaceAll("_", "")) + 0 : NaN; // + 0: not -0
}

function readFloat(text) {
  return FLOAT.test(text.trim()) ? Number(text.replaceAll("_", "")) : NaN;
}

// What the page says.

/**
 * The pair under the pointer, else the selected query and the key it looks at most.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {import("./drawings.js").Selection} selection
 * @returns {[number, number]} query index, key index
 */
export function shownPair(trace, state, selection) {
  const { T, S } = trace.calls[state.layer];
  if (state.pair && state.pair[0] < T && state.pair[1] < S) return [state.pair[0], state.pair[1]];
  const start = state.query_index * S;
  let best = 0;
  let most = -Infinity;
  for (let key = 0; key < S; key++) {
    const weight = selection.weights[start + key] || 0; // 0 for nan
    if (weight > most) [best, most] = [key, weight];
  }
  return [state.query_index, best];
}

/**
 * One sentence of arithmetic: how the shown pair's weight comes about, or why there is none.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {import("./drawings.js").Selection} selection
 * @returns {Array<["pair" | "number" | "result" | "text", string]>} runs, in reading order
 */
export function sentence(trace, state, selection) {
  const call = trace.calls[state.layer];
  const tokens = trace.tokensOf(call, state.batch);
  const [queryIndex, keyIndex] = shownPair(trace, state, selection);
  const query = quoted(tokens.queries[queryIndex]);
  const key = quoted(tokens.keys[keyIndex]);
  const at = queryIndex * call.S + keyIndex;
  const weight = selection.weights[at];
  if (selection.empty[queryIndex]) return emptyRow(call, state, query, weight);
  const pair = ["pair", `${bare(query)} → ${bare(key)}`];
  if (!selection.visible[at]) {
    const why = `is masked: ${because(call, state)} ${query} may not see ${key}, so its weight is`;
    return [pair, ["text", why], ["result", "0"]];
  }
  if (Number.isNaN(weight)) {
    return [pair, ["text", "has no weight: the model itself recorded no number here."]];
  }
  const share = ["result", `${general(100 * weight, 3)} %`];
  const sink = sinkWords(call, state, selection.weights.subarray(queryIndex * call.S, (queryIndex + 1) * call.S));
  const taken = ["text", `of what ${query} becomes is taken from ${key}.${sink}`];
  if (state.aggregate) return [pair, ["text", `the mean over ${call.H} heads:`], share, taken];
  if (selection.scores === null) return [pair, ["text", "as the model recorded it:"], share, taken];
  return [pair, ...arithmetic(call, state, selection, at), share, taken];
}

/** Score, temperature and softmax of one pair. */
function arithmetic(call, state, selection, at) {
  const score = selection.scores[at];
  return [
    ["number", `${formula(call)} = ${fixed(score, 2)}`],
    ["text", `÷ τ ${fixed(state.temperature, 2)} →`],
    ["number", softmaxWords(score / state.temperature, rowOf(call, state, selection, at))],
    ["text", "="],
  ];
}

/** What the shown row's attention sink takes, as a sentence; nothing without one. */
function sinkWords(call, state, weights) {
  if (!call.live || call.sinks === null) return "";
  let rest = 0;
  for (const weight of weights) rest += weight;
  const share = `${fixed(100 * Math.max(1 - rest, 0), 1)} %`;
  if (state.aggregate) return ` The heads' sinks take ${share} of the row.`;
  return ` The head's sink (score ${fixed(call.sinks[state.head], 2)}) takes ${share} of the row.`;
}

/** The scores that a pair's softmax sums over, those it sees and the sink's, divided by temperature. */
function rowOf(call, state, selection, at) {
  const start = at - (at % call.S);
  const scaled = [];
  for (let cell = start; cell < start + call.S; cell++) {
    if (selection.visible[cell]) scaled.push(selection.scores[cell] / state.temperature);
  }
  if (call.sinks !== null) scaled.push(call.sinks[state.head] / state.temperature);
  return scaled;
}

function emptyRow(call, state, query, weight) {
  const policy = {
    zero: "so its weights are all 0 and it becomes nothing (policy “zero”)",
    uniform:
      `so every key gets 1/${call.S} = ${general(weight, 3)} ` +
      "(policy “uniform”, what filling with −1e9 does)",
    nan: "so its weights are not numbers (policy “nan”, what filling with −∞ does)",
  }[state.empty_rows];
  const sunk = "so its weights are all 0: the attention sink takes the whole row";
  const said = call.live && call.sinks !== null ? sunk : policy;
  const why = `is an empty row: ${because(call, state)} it may see no key, ${said}.`;
  return [["pair", bare(query)], ["text", why]];
}

function bare(quote) {
  return quote.slice(1, -1);
}

function formula(call) {
  const dot = call.usualScale ? "q·k/√d" : `${general(call.scale, 3)}·q·k`;
  const product = call.softCap === null ? dot : `${dot} capped at ±${general(call.softCap, 3)}`;
  return call.hasBias ? `${product} + bias` : product;
}

/** A sum as people read it: three digits, or all of a larger one. */
function amount(number) {
  return number < 999.5 ? general(number, 3) : fixed(number, 0).replace(/\B(?=(\d{3})+$)/g, ",");
}

function softmaxWords(scaled, visible) {
  let peak = -Infinity;
  for (const score of visible) if (score > peak) peak = score;
  let total = 0;
  for (const score of visible) total += Math.exp(score - peak);
  const power = fixed(scaled, 2);
  if (scaled > -9 && peak < 11) {
    return `e^${power} / Σ = ${amount(Math.exp(scaled))} / ${amount(total * Math.exp(peak))}`;
  }
  // Written with the logarithm of Σ, since e^… itself would be too long to read.
  const whole = peak + Math.log(total);
  const digits = [2, 3].find((count) => isShare(scaled, whole, count)) ?? 4;
  const exact = fixed(scaled, digits);
  return `e^(${exact} − ln Σ) = e^(${exact} − ${fixed(whole, digits)})`;
}

/** Whether the powers written with so many digits give the share, in tenths of a percent. */
function isShare(scaled, whole, digits) {
  const written = Number(fixed(scaled, digits)) - Number(fixed(whole, digits));
  return Math.abs(Math.exp(written) - Math.exp(scaled - whole)) < 0.0005;
}

function because(call, state) {
  if (state.mask === "model" || !call.live) return "under the model's own mask";
  const { label } = MASK_KINDS.find((row) => row.kind === state.mask);
  const length = state.mask.includes("padding") ? ` (pad length ${state.pad_len})` : "";
  return `under the ${label} mask${length}`;
}

/**
 * Each picture's title and the lighter words after it, and where the numbers come from.
 *
 * @param {Trace} trace
 * @param {State} state
 * @returns {Record<"scores" | "weights" | "output" | "row" | "grid" | "swatches", {text: string,
 *   aside: string}> & {provenance: string}}
 */
export function titles(trace, state) {
  const call = trace.calls[state.layer];
  const token = trace.tokensOf(call, state.batch).queries[state.query_index];
  const most = Math.max(...trace.calls.map((one) => one.H));
  const layers = trace.calls.length;
  const shape = `${layers} layer${layers > 1 ? "s" : ""} × ${most} head${most > 1 ? "s" : ""}`;
  return {
    scores: { text: "Score", aside: call.live ? formula(call) : "not recorded" },
    weights: { text: "Softmax", aside: scaleWords(call, state) },
    output: { text: "Mix", aside: call.hasValue ? `output, ${call.Dv} ch.` : "no values were kept" },
    row: {
      text: `Where “${token}” looks`,
      aside: `${place(call, state)} · tap a token to make it the query`,
    },
    grid: { text: "All heads", aside: `${shape} · tap one` },
    swatches: { text: "Paint mixing", aside: paintWords(trace, call, state) },
    provenance: provenance(trace, call),
  };
}

/** What the colours of the weights mean. */
function scaleWords(call, state) {
  if (state.skip_first && call.S > 1) return "colour without first token";
  const scale = { "square root": "colour by square root", "per row": "colour relative to its row" };
  return scale[state.weight_scale] ?? "each row sums to 1";
}

function paintWords(trace, call, state) {
  if (!call.hasColours) return "no values were kept";
  // Colours that came without their values have the seed they were made with.
  const seed = call.hasValue ? state.color_seed : (trace.colorSeed ?? state.color_seed);
  return `value colours · seed ${seed}`;
}

function place(call, state) {
  const which = state.aggregate ? `mean of ${call.H} heads` : `head ${headNumbers(call)[state.head]}`;
  return `layer ${call.number ?? state.layer}, ${which}`;
}

function provenance(trace, call) {
  const kept = call.hasValue ? "Q, K, V" : "Q, K";
  const lengths = call.T === call.S ? `${call.T} tokens` : `${call.T} queries, ${call.S} keys`;
  const source = trace.model || trace.source || "trace";
  const numbers = `${call.dtype} ${call.live ? kept : ""}`.trim();
  return [...new Set([source, call.layer, lengths, numbers])].join(" · ");
}

/**
 * Entropy and distance of what is shown, as the line under the overview. Reads the whole matrix.
 *
 * @param {Trace} trace
 * @param {State} state
 * @param {import("./drawings.js").Selection} selection
 * @returns {string}
 */
export function numbersLine(trace, state, selection) {
  const call = trace.calls[state.layer];
  const mayBeUnknown = state.empty_rows === "nan" || !call.live;
  const weights = mayBeUnknown ? selection.weights.map((weight) => weight || 0) : selection.weights;
  const nats = fixed(entropy(weights, call.T, call.S), 2);
  const line = `${place(call, state)} · entropy ${nats} nats`;
  if (call.kind !== "self") return line; // between two sequences there is no distance
  return `${line} · distance ${fixed(meanDistance(weights, call.T, call.S, call.qOffset), 1)}`;
}
