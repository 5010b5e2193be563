import { general, inQuotes, shorten } from "../core/format.js";
import { showComponents } from "../core/scope.js";
import { t } from "../core/translate.js";
import { toAddress } from "./address.js";
import { writeParameters } from "./address_bar.js";
import { figureCaptions, headNumbers, place, provenance, withheld } from "./labels.js";
import { rowOf } from "./partial.js";
import { shownPair } from "./sentence.js";
import { headColours, shownHeads } from "../views/lines.js";
import { scaleOf } from "../views/colours.js";
import { markOf } from "../views/legend.js";
import { legend, titles } from "../views/table.js";
import { namePlots } from "../views/plots.js";
import { shadedTokens } from "../views/text.js";

// Updates the parts of the page beside the plots: titles, tokens, the place of notes, and the URL.

// Keys that a plot's name lists, by weight.
const MOST_NAMED = 3;

/** @param {import("./controller.js").BrowserExplorer} explorer @param {AnySelection} selection */
export function writeCaptions(explorer, selection) {
  const { trace, state } = explorer;
  const captions = titles(trace, state);
  for (const [name, caption] of Object.entries(captions)) explorer.write(`attn-caption-${name}`, caption);
  namePlots(explorer.plots, plotNames(explorer, captions, selection));
  explorer.write("attn-caption-provenance", { text: provenance(trace, state), about: figureCaptions(trace, state) });
  const missing = withheld(trace.calls[state.layer]);
  if (missing !== "") explorer.write("attn-caption-withheld", { text: missing });
  showComponents(explorer.models.get("attn-caption-withheld"), missing !== "");
  const { names, content } = shadedTokens(trace, state, selection);
  explorer.write("attn-token-strip", names.keys === explorer.named ? { content } : { names, content });
  explorer.named = names.keys;
  explorer.address = new URLSearchParams(toAddress(trace, state, selection)).toString();
}

/**
 * What those hear of each plot who do not see it: its title, where it stands, and of the row its largest weights.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {Record<string, {text: string, subtitle: string}>} captions
 * @param {AnySelection} selection
 * @returns {Record<string, string>} by view
 */
export function plotNames(explorer, captions, selection) {
  const { trace, state } = explorer;
  const call = trace.calls[state.layer];
  const { queries, keys } = trace.tokensOf(call, state.batch);
  const { weights } = rowOf(selection, state.query_index);
  const largest = Array.from(weights, (weight, key) => /** @type {[number, number]} */ ([weight || 0, key]))
    .sort(([one], [other]) => other - one)
    .slice(0, MOST_NAMED)
    .filter(([weight]) => weight > 0)
    .map(([weight, key]) => `${inQuotes(shorten(keys[key], 18))} ${general(100 * weight, 3)} %`);
  const row = t("Token “{token}” looks at {keys}.", { token: shorten(queries[state.query_index], 18), keys: largest.join(", ") || t("nothing") });
  const where = t("{place}, {queries} queries, {keys} keys", { place: place(call, state), queries: call.T, keys: call.S });
  return Object.fromEntries(
    trace.views.map(({ name, x, y }) => {
      const { text, subtitle } = captions[name];
      const title = [text, subtitle].filter(Boolean).join(", ");
      if (explorer.spoken[name]) return [name, `${title}; ${where}. ${explorer.spoken[name]}`];
      return [name, [x, y].includes("key") ? `${title}; ${where}. ${row}` : `${title}; ${where}.`];
    }),
  );
}

/**
 * Says what the colours of drawings mean, where that has changed.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {[string, Drawing][]} drawings by view
 */
export function writeLegends(explorer, drawings) {
  for (const [name, drawing] of drawings) {
    const content = legend(explorer.trace, explorer.state, name, drawing);
    const text = JSON.stringify(content);
    if (content !== null) explorer.scales[name] = drawing.colours;
    if (content === null || explorer.legends[name] === text) continue;
    explorer.legends[name] = text;
    explorer.write(`attn-legend-${name}`, { content });
  }
}

/**
 * Marks the shown pair's score and weight on their colour bars.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {AnySelection} selection
 */
export function markLegends(explorer, selection) {
  const [query, key] = /** @type {[number, number]} */ (explorer.shownPair);
  const { scores, weights, visible } = rowOf(selection, query);
  const byRow = scaleOf(explorer.trace, explorer.state).ends === "row"; // one bar for scales of their own
  for (const [name, numbers] of Object.entries({ scores, weights })) {
    const colours = explorer.scales[name];
    const mark = colours && visible[key] && !(byRow && name === "weights") ? markOf(colours, numbers?.[key]) : null;
    if (explorer.marks[name] !== mark) explorer.write(`attn-legend-${name}`, { mark });
    explorer.marks[name] = mark;
  }
}

/**
 * Says which heads' lines are drawn, and what is left out, where they are drawn anew.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {[string, Drawing][]} drawings by view
 */
export function writeLines(explorer, drawings) {
  const drawing = drawings.find(([name]) => name === "lines")?.[1];
  if (!drawing) return;
  const { trace, state } = explorer;
  explorer.spoken.lines = drawing.spoken ?? "";
  const call = trace.calls[state.layer];
  const [shown, colours] = [shownHeads(trace, state), headColours(trace, state)];
  const heads = headNumbers(call).map((number, head) => ({ head, number, colour: colours[shown.indexOf(head)] ?? null }));
  const token = `${state.query_index} · ${shorten(trace.tokensOf(call, state.batch).queries[state.query_index], 12)}`;
  const content = { heads, token, one: state.lines_of_token, chosen: state.aggregate ? null : state.head, most: trace.headColours.length, words: drawing.about ?? "" };
  const text = JSON.stringify(content);
  if (explorer.lineChoices === text) return;
  explorer.lineChoices = text;
  explorer.write("attn-line-choices", { content });
}

/**
 * Brings the address bar up to date, when the reader pauses: it takes some 2 ms, and browsers let a page do it
 * 200 times in half a minute.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 */
export function writeAddress(explorer) {
  const { address, listens, drawn_alone: alone } = explorer.model;
  if (address === null || !explorer.address) return;
  const theme = explorer.theme && (!listens || alone) ? { theme: explorer.theme } : {};
  const { step } = explorer.lesson;
  const lesson = step === null ? {} : { lesson: String(step + 1) };
  const why = explorer.why ? { why: "1" } : {};
  const given = [address, explorer.address, theme, lesson, why].map((part) => new URLSearchParams(/** @type {any} */ (part)).toString());
  writeParameters(given.filter(Boolean).join("&"), listens);
}

/**
 * Updates the place that a new note would mark.
 *
 * @param {import("./controller.js").BrowserExplorer} explorer
 * @param {AnySelection} selection
 */
export function updateNotePlace(explorer, selection) {
  const { trace, state } = explorer;
  const call = trace.calls[state.layer];
  const [query_index, key_index] = shownPair(trace, state, selection);
  const { queries, keys } = trace.tokensOf(call, state.batch);
  const noted = {
    layer: state.layer,
    head: state.aggregate ? null : state.head,
    batch: state.batch,
    query_index,
    key_index,
    layers: trace.calls.length,
    heads: call.H,
    query: queries[query_index],
    key: keys[key_index],
    address: explorer.address,
  };
  explorer.write("attn-annotations", { place: noted });
  const { layer, head, batch } = noted;
  explorer.write("attn-head-maps", { place: { layer, head, batch } });
  explorer.write("attn-prompt-box", { place: { layer, head, token: state.query_index } });
}
