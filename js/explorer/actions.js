import { t } from "../core/translate.js";
import { fromAddress } from "./address.js";
import { gridOf, tokenOfCell } from "./on_picture.js";
import { lookAhead } from "./pauses.js";
import { SWITCHES, bounds } from "./rules.js";
import { keepShown, openPrompt, showTyped, showTypedNumbers } from "./typed_trace.js";
import { choices } from "./widgets.js";
import { tokenAt } from "../views/lines.js";
import { viewNamed } from "../views/table.js";

// Handles what the reader does, as messages: keys, taps, the pointer, a URL.

const STEPPED = ["query_index", "head", "layer"];

/**
 * Applies the theme and the choices in the fragment of a URL.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {string} hash
 */
export function openHash(explorer, hash) {
  const texts = new URLSearchParams(hash.slice(1));
  const theme = texts.get("theme");
  if (theme === "dark" || theme === "light") setTheme(explorer, theme);
  if (!openPrompt(explorer, hash.slice(1))) restore(explorer, hash.slice(1));
  openParts(explorer, texts);
}

/**
 * Opens the parts of the page that an address names: a step of the lesson, the card that explains a weight.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {URLSearchParams} texts
 */
export function openParts(explorer, texts) {
  if (texts.has("lesson")) explorer.lesson.act({ open: Number(texts.get("lesson")) - 1 });
  if (texts.get("why") === "1") openWhy(explorer, true);
}

/**
 * Opens or closes the card that explains the shown pair's weight.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {boolean} open
 */
function openWhy(explorer, open) {
  if (explorer.why === open) return;
  explorer.why = open;
  explorer.write("attn-why-token", { opened: open });
  explorer.drawSoon();
}

/**
 * Applies the address of a page without a session, as Python does in one.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export function openAlone(explorer) {
  openHash(explorer, window.location.search);
  if (explorer.problem) explorer.problem = t("Not restored from the link. {problem}", { problem: explorer.problem });
}

/**
 * Gives what is shown to another explorer of the same trace, which takes this one's place.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {string} other the other's id
 */
function handOver({ state, lesson, why }, other) {
  const { step, done, home } = lesson;
  const detail = { take_over: { state, why, lesson: { step, done, home } } };
  globalThis.document.dispatchEvent(new CustomEvent(`attn:message:${other}`, { detail }));
}

/**
 * Shows what another explorer of the same trace has shown.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {{state: any, why: boolean, lesson: {step: ?number, done: Set<number>, home: any}}} shown
 */
function takeOver(explorer, { state, lesson, why }) {
  const { trace } = explorer;
  const { step, done, home } = lesson;
  if (step !== explorer.lesson.step) explorer.lesson.task = null;
  Object.assign(explorer.lesson, { step, done: new Set(done), home: home && { ...home, trace } });
  explorer.set({ ...state, trace: explorer.state.trace });
  openWhy(explorer, why);
  explorer.drawSoon();
}

/**
 * Sets the theme that the reader chose, overriding the system's preference.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {string} theme
 */
export function setTheme(explorer, theme) {
  explorer.theme = theme;
  explorer.write("attn-interaction", { asks_theme: false });
  explorer.set({ dark: theme === "dark" });
}

/**
 * Restores the choices in query parameters.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {string} address
 */
export function restore(explorer, address) {
  const texts = Object.fromEntries(new URLSearchParams(address));
  if (Object.keys(texts).length === 0) return;
  const { state, problems } = fromAddress(explorer.trace, explorer.state, texts);
  explorer.set(state);
  explorer.problem = problems.join(" ");
  explorer.drawSoon();
}

/** @param {import("./controller.js").BrowserExplorer} explorer @param {any} message */
export function handleMessage(explorer, message) {
  const { state } = explorer;
  const limits = bounds(explorer.trace, state);
  const call = explorer.trace.calls[state.layer];
  /** @param {string} name @param {number} value */
  const move = (name, value) => {
    if (value >= limits[name][0] && value <= limits[name][1]) explorer.set({ [name]: value, pair: null });
  };
  if (message.step && !(message.step[0] === "head" && state.aggregate)) {
    move(message.step[0], state[message.step[0]] + message.step[1]);
  } else if (message.jump && STEPPED.includes(message.jump[0])) {
    move(message.jump[0], limits[message.jump[0]][message.jump[1] === "first" ? 0 : 1]);
  } else if ("next" in message && !(message.next in (explorer.idle ?? {}))) next(explorer, message.next);
  else if ("key_step" in message) stepKey(explorer, message.key_step, call);
  else if ("token" in message) move("query_index", message.token);
  else if ("key" in message) explorer.set({ pair: [state.query_index, message.key] });
  else if ("patch" in message) choosePatch(explorer, message.patch, call);
  else if ("pair" in message) point(explorer, message.pair, call);
  else if ("point" in message) pointAt(explorer, message.point, call);
  else if (message.lines) chooseLines(explorer, message.lines);
  else if (message.tap) tap(explorer, message.tap, move, call);
  else if ("why" in message) openWhy(explorer, message.why);
  else if (message.picture) {
    explorer.direction = message.picture;
    explorer.drawSoon();
  } else if (message.lesson) explorer.lesson.act(message.lesson);
  else if ("typed" in message) {
    showTyped(explorer, message.typed);
    restore(explorer, message.typed?.address ?? "");
  } else if (message.typed_numbers) showTypedNumbers(explorer, message.typed_numbers);
  else if (message.typed_refused) keepShown(explorer);
  else if (message.likely === "aggregate") {
    if (!state.aggregate && call.H > 1) lookAhead(explorer, { ...state, aggregate: true });
  } else if ("hand_over" in message) handOver(explorer, message.hand_over);
  else if ("take_over" in message) takeOver(explorer, message.take_over);
  else if ("restore" in message) restore(explorer, String(message.restore));
  else if (message.theme === "toggle") setTheme(explorer, state.dark ? "light" : "dark");
  else if ("prefers_dark" in message) {
    explorer.write("attn-interaction", { asks_theme: false });
    if (!explorer.theme) explorer.set({ dark: message.prefers_dark });
  }
}

/**
 * Selects the next mask, or toggles a Boolean choice.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {string} name
 */
export function next(explorer, name) {
  const masks = choices(explorer, "mask");
  if (name === "mask") explorer.set({ mask: masks[(masks.indexOf(explorer.state.mask) + 1) % masks.length] });
  else if (SWITCHES.has(name)) explorer.set({ [name]: !explorer.state[name] });
}

/**
 * Selects the key before or after the shown pair's, by a key alone what a pointer does.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {number} by
 * @param {{S: number}} lengths
 */
export function stepKey(explorer, by, { S }) {
  if (explorer.shownPair === null) return;
  const [query, key] = explorer.shownPair;
  explorer.set({ pair: [query, Math.min(Math.max(key + by, 0), S - 1)] });
}

/**
 * Follows the pointer over a plot: the pair of tokens there, or in the line view the token.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {?[string, number, number]} pointed the view, and the position on its axes; null where it left
 * @param {Call} call
 */
function pointAt(explorer, pointed, call) {
  const { trace, state } = explorer;
  if (pointed && viewNamed(trace, pointed[0]).x === "side") {
    explorer.set({ line_token: tokenAt(trace, state, pointed[1], pointed[2]) });
  } else if (pointed) point(explorer, [pointed[2], pointed[1]], call);
  else explorer.set({ pair: null, line_token: null });
}

/**
 * Chooses the heads whose lines are drawn, or whether they are of one token.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {{heads?: number[], one?: boolean}} chosen
 */
function chooseLines(explorer, { heads, one }) {
  if (heads) explorer.set({ line_heads: heads, line_token: null });
  if (one !== undefined) explorer.set({ lines_of_token: one, line_token: null });
}

/**
 * A tap on a query shows only its lines, or all again; one on a key those that lead to it.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {number} x
 * @param {number} y
 */
function tapLine(explorer, x, y) {
  const { trace, state } = explorer;
  const token = tokenAt(trace, state, x, y);
  if (token === null) return;
  const [side, index] = token;
  if (side === 1) explorer.set({ line_token: token });
  else explorer.set({ query_index: index, line_token: null, lines_of_token: !(state.lines_of_token && index === state.query_index) });
}

/**
 * Selects the token of a patch of the picture: the query, or the key where the queries are none.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {number} cell of the whole picture, in reading order
 * @param {Call} call
 */
export function choosePatch(explorer, cell, call) {
  const { trace, state } = explorer;
  const [queries, keys] = [gridOf(trace, call.T, call.layer), gridOf(trace, call.S, call.layer)];
  if (queries) {
    const { batch, token } = tokenOfCell(queries, state.batch, cell);
    if (batch >= call.B) return;
    explorer.set({ batch, query_index: token, pair: null });
    explorer.pictureFirst = explorer.due;
  } else if (keys) explorer.set({ pair: [state.query_index, tokenOfCell(keys, state.batch, cell).token] });
}

/**
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {?number[]} pair
 * @param {{T: number, S: number}} lengths
 */
export function point(explorer, pair, { T, S }) {
  const inside = pair && pair[0] >= 0 && pair[0] < T && pair[1] >= 0 && pair[1] < S;
  explorer.set({ pair: inside ? pair : null });
}

/**
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {[string, number, number]} tapped the view, and the position on its axes
 * @param {(name: string, value: number) => void} move
 * @param {Call} call
 */
export function tap(explorer, [view, x, y], move, call) {
  const { x: along, y: down } = viewNamed(explorer.trace, view);
  if (along === "side") {
    tapLine(explorer, x, y);
    return;
  }
  /** @type {Record<string, number>} */
  const at = { [String(along)]: Math.round(x), [String(down)]: Math.round(y) };
  if ("head" in at) {
    const { layer, head } = at;
    const chosen = explorer.trace.calls[layer];
    if (chosen && head >= 0 && head < chosen.H) explorer.set({ aggregate: false, layer, head });
  } else if ("query" in at) move("query_index", at.query);
  else {
    // A list has the key of each of its lines in a column.
    const listed = explorer.plots[view].sources[`attn:${view}`].data.key_index;
    const key = at.key ?? listed?.[at["listed key"]] ?? -1;
    const { queries, keys: names } = explorer.trace.tokensOf(call, explorer.state.batch);
    if (JSON.stringify(queries) === JSON.stringify(names)) move("query_index", key);
    else point(explorer, [explorer.state.query_index, key], call);
  }
}
