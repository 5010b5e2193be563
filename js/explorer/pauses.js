import { inSlices } from "../core/slices.js";
import { writeAddress } from "./captions.js";
import { show } from "./draw_views.js";
import { numbersLine, describeNumbers } from "./labels.js";
import { MAX_WORK } from "./prepare.js";
import { headsOnPicture } from "./on_picture.js";
import { keyOf } from "./questions.js";
import { rollOut } from "./rollout.js";
import { bounds, fitLayer } from "./rules.js";
import { select, selectionWork } from "./selection.js";
import { shownPair } from "./sentence.js";
import { asksPython, vectorsIn, whyToken } from "./why_token.js";
import { DECADE_STEP, temperatureAt } from "./widgets.js";
import { keepTiles, overviewJob, overviewWork, tilesOf } from "../views/overview.js";
import { DRAWINGS, isChanged, measuredOf, viewNamed, viewsDrawn } from "../views/table.js";

// Work for when the reader pauses: all heads, numbers, and one more step of a slider, or the mean, computed ahead.

// Cost of a cell's entropy and distance, in multiply-adds.
const NUMBERS_WORK = 40;
const AHEAD_CELLS = 2 ** 22;
// Limits of computing ahead: less work is quick anyway, and larger matrices cost too much memory.
const AHEAD_WORK = 4e6;
// Limit of the mean that nobody may ask for: some 100 ms of the Worker's time.
const MEAN_WORK = 1e9;
const OVERVIEW_WAIT_MS = 120;

/**
 * Schedules a draw of all heads for when the reader pauses.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {Set<string>} changed
 * @param {Theme} theme
 */
export function drawOverview(explorer, changed, theme) {
  const { trace } = explorer;
  explorer.stale ||= viewsDrawn(trace, "with the tiles").some((name) => isChanged(trace, name, "depends", changed));
  if (!explorer.stale) return;
  explorer.tiling += 1; // abandons tiles of earlier choices
  clearTimeout(explorer.overview);
  explorer.overview = setTimeout(() => tiles(explorer, theme).catch((error) => explorer.fail(error)), OVERVIEW_WAIT_MS);
}

/** @param {import("./controller.js").BrowserExplorer} explorer @param {Theme} theme */
export async function tiles(explorer, theme) {
  const run = ++explorer.tiling;
  const { trace, state, cache } = explorer;
  const layers = [...trace.calls.keys()];
  const here = layers.filter((layer) => trace.calls[layer].packed !== undefined);
  const known = tilesOf(trace, state, cache);
  const elsewhere = layers.filter((layer) => !here.includes(layer) && !known.has(`${layer} 0`));
  if (elsewhere.length) {
    const answer = await explorer.python.ask("tiles", trace, elsewhere, state);
    if (answer === null || run !== explorer.tiling || explorer.left) return;
    keepTiles(trace, state, cache, /** @type {any} */ (answer));
  }
  let answer;
  if (!explorer.background.broken && overviewWork(trace, state, cache, here) >= MAX_WORK) {
    answer = await explorer.background.ask("tiles", trace, here, state);
    if (answer === null || run !== explorer.tiling) return;
    for (const [key, tile] of answer?.tiles ?? []) tilesOf(trace, state, cache).set(key, tile);
  }
  if (!answer && !(await inSlices(overviewJob(trace, state, cache, here), () => run !== explorer.tiling))) return;
  if (explorer.left || run !== explorer.tiling) return;
  // The selected head may have changed while the tiles were computed.
  const now = { ...state, ...shownHead(explorer) };
  /** @type {[string, Drawing][]} */
  const drawn = viewsDrawn(trace, "with the tiles").map((name) => [name, DRAWINGS[name].draw(trace, now, cache)]);
  await show(explorer, drawn, [], theme);
  explorer.stale = false;
  restIfDone(explorer);
}

/**
 * Publishes that the page shows its state completely, if it does.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
function restIfDone(explorer) {
  if (!explorer.stale && !explorer.unread && explorer.changed.size === 0) explorer.rest(true);
}

/** @param {import("./controller.js").BrowserExplorer} explorer */
export function shownHead(explorer) {
  const { layer, head, aggregate } = explorer.state;
  return { layer, head, aggregate };
}

/**
 * Schedules entropy and distance, which read the whole matrix, for when the reader pauses.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export function numbersLater(explorer) {
  explorer.unread = true;
  clearTimeout(explorer.reading);
  explorer.reading = setTimeout(() => readNumbers(explorer).catch((error) => explorer.fail(error)), OVERVIEW_WAIT_MS);
}

/** @param {import("./controller.js").BrowserExplorer} explorer */
export async function readNumbers(explorer) {
  const { trace, state, cache, reading } = explorer;
  if (explorer.changed.size || explorer.left) return;
  const { T, S, partial } = trace.calls[state.layer];
  const selection = partial ? keyOf("numbers", state) : select(trace, state, cache);
  if (partial && explorer.numbers?.selection !== selection) {
    const answer = await explorer.python.ask("numbers", trace, [state.layer], state);
    if (answer === null) return;
    const { measured, ...numbers } = /** @type {any} */ (answer);
    explorer.numbers = { selection, text: describeNumbers(trace, state, numbers), measured: measuredIn(measured) };
  } else if (explorer.numbers?.selection !== selection) {
    let answer;
    if (!explorer.background.broken && T * S * NUMBERS_WORK >= MAX_WORK) {
      answer = await explorer.background.ask("numbers", trace, [state.layer], state);
      if (answer === null) return;
    }
    const whole = /** @type {HeadSelection} */ (selection);
    explorer.numbers = {
      selection,
      text: answer?.text ?? numbersLine(trace, state, whole),
      measured: answer?.measured ?? measuredOf(trace, state, whole),
    };
  }
  if (trace.picture) explorer.write("attn-on-picture", { heads: headsOnPicture(trace, state, cache, explorer.direction) });
  await drawMeasured(explorer, explorer.numbers);
  if (explorer.why && !(await explainPair(explorer))) return;
  explorer.write("attn-caption-numbers", { text: explorer.numbers.text });
  writeAddress(explorer);
  if (trace.picture) await rollOut(explorer);
  if (explorer.reading !== reading) return; // drawn anew meanwhile: the numbers are read again
  explorer.unread = false;
  restIfDone(explorer);
  lookAhead(explorer);
}

/**
 * Explains the shown pair's weight.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @returns {Promise<boolean>} false if something changed meanwhile, so that it will be explained anew
 */
async function explainPair(explorer) {
  const { trace, state, cache } = explorer;
  const selection = select(trace, state, cache);
  let vectors = null;
  if (asksPython(trace, state)) {
    const pair = shownPair(trace, state, selection);
    const answer = await explorer.python.ask("why", trace, [state.layer], { ...state, pair });
    if (answer === null || explorer.state !== state || explorer.left) return false;
    vectors = answer === undefined ? null : vectorsIn(answer);
  }
  explorer.write("attn-why-token", { content: whyToken(trace, state, selection, vectors) });
  return true;
}

/**
 * Draws the views that waited, and those that depend on the numbers if their inputs have changed.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {{selection: object | string, measured: Record<string, Measured>}} numbers
 */
async function drawMeasured(explorer, { selection, measured }) {
  const { trace, state, cache, shown, waiting } = explorer;
  const drawn = [...waiting].map((name) => /** @type {[string, Drawing]} */ ([name, DRAWINGS[name].draw(trace, state, cache)]));
  waiting.clear();
  for (const name of viewsDrawn(trace, "with the numbers")) {
    const now = [selection, ...viewNamed(trace, name).depends.map((choice) => state[choice])];
    if (shown[name]?.every((input, at) => input === now[at])) continue;
    shown[name] = now;
    drawn.push([name, DRAWINGS[name].draw(trace, state, cache, measured[name])]);
  }
  if (drawn.length) await show(explorer, drawn, [], trace.themes[state.dark ? "dark" : "light"]);
}

/**
 * Decodes Python's measurements: float64 arrays sent as bytes, by view and name.
 *
 * @param {Record<string, Record<string, ArrayBuffer>>} answered
 * @returns {Record<string, Measured>}
 */
function measuredIn(answered) {
  /** @param {Record<string, ArrayBuffer>} arrays */
  const read = (arrays) => Object.fromEntries(Object.entries(arrays).map(([name, bytes]) => [name, new Float64Array(bytes)]));
  return Object.fromEntries(Object.entries(answered).map(([view, arrays]) => [view, read(arrays)]));
}

/**
 * Has the Worker compute a selection that is likely to be asked for next.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {?State} next by default after one more step in the same direction; before any step, of the mean of the heads
 */
export function lookAhead(explorer, next = explorer.lastStep === undefined ? meanOf(explorer) : oneStepOn(explorer)) {
  const { trace, cache } = explorer;
  if (next === null || explorer.background.broken) return;
  const { opened, T, S } = trace.calls[next.layer];
  if (!opened || T * S > AHEAD_CELLS) return;
  if (selectionWork(trace, next, cache) < AHEAD_WORK || explorer.background.askedAhead(trace, next)) return;
  // An error is reported when the selection is really needed.
  explorer.background.ask("ahead", trace, [next.layer], next).catch(() => {});
}

/**
 * The state that shows the mean of the layer's heads; null if it is shown, is that of one head, or takes long.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @returns {?State}
 */
function meanOf({ trace, state, cache }) {
  const mean = { ...state, aggregate: true };
  return state.aggregate || trace.calls[state.layer].H === 1 || selectionWork(trace, mean, cache) > MEAN_WORK ? null : mean;
}

/**
 * The state after one more step of the slider that moved last, reversed at its end; null if none moved.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @returns {?State}
 */
export function oneStepOn(explorer) {
  const { trace, state } = explorer;
  const [name, by] = explorer.lastStep ?? [];
  if (name === undefined || by === undefined || (name === "head" && state.aggregate)) return null;
  const isTemperature = name === "temperature";
  const at = isTemperature ? Math.round(Math.log10(state.temperature) / DECADE_STEP) : state[name];
  const [low, high] = isTemperature ? [-1 / DECADE_STEP, 1 / DECADE_STEP] : bounds(trace, state)[name];
  if (low === high) return null;
  const to = at + by < low || at + by > high ? at - by : at + by;
  const next = { ...state, pair: null, [name]: isTemperature ? temperatureAt(to) : to };
  return name === "layer" ? fitLayer(trace, next, state.layer) : next;
}
