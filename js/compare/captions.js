import { emptySide, onlySide, pairName, points, shownKey } from "./drawings.js";
import { maskName, tokenPair } from "./controls.js";
import { movedShare } from "./model.js";
import { fixed } from "../core/format.js";
import { t } from "../core/translate.js";
import { masksOf } from "../explorer/rules.js";
import { hasHatched, legendOf, markOf } from "../views/legend.js";

// Titles and subtitles of a comparison's plots.

/**
 * What the difference's colours range over, as words.
 *
 * Only tokens that both sides have can differ in weight; what goes to the others is said beside it.
 *
 * @param {ComparedHeads} compared
 */
export function differenceWords(compared) {
  const { difference, queries } = compared;
  let [least, most] = [0, 0];
  for (const change of difference) {
    if (change < least) least = change; // NaN compares false
    if (change > most) most = change;
  }
  const [lowest, highest] = [points(least), points(most)];
  if (lowest !== highest) return t("from {lowest} to {highest} points", { lowest, highest }); // equal only where both are written as 0
  const moved = queries.pairs.some((_, row) => points(movedShare(compared, row)) !== lowest);
  return moved ? t("none in tokens that both have: all that moves goes to the others") : t("no difference");
}

const HATCHED = t("no such token, or masked: hatched");

/** What the colour bars say beside their numbers, by the plot's name. @type {Record<string, LegendWords & {hatched?: boolean}>} */
const LEGENDS = {
  first: { pairs: false, hatched: true },
  second: { pairs: false, hatched: true },
  difference: { words: t("points · blue: more in A · red: more in B"), points: true, pairs: false },
  heads: { words: t("points of the row’s weight that move"), points: true },
};

/**
 * Says what the colours of drawings mean.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {[Plot, Drawing][]} drawings
 * @param {ComparedHeads} [compared] whose pair is marked on them
 */
export function writeLegends(page, drawings, compared) {
  for (const [plot, drawing] of drawings) {
    const name = Object.keys(LEGENDS).find((name) => page.plots[name] === plot);
    if (!name) continue;
    const hatched = LEGENDS[name].hatched && hasHatched(drawing.sources);
    const content = legendOf(drawing, hatched ? { ...LEGENDS[name], words: HATCHED } : LEGENDS[name]);
    const text = JSON.stringify(content);
    if (content === null) continue;
    if (page.legends[name]?.text !== text) page.write(`attn-legend-${name}`, { content });
    page.legends[name] = { text, colours: drawing.colours };
  }
  if (compared) markLegends(page, compared);
}

/**
 * Marks on the colour bars of A, B and B − A where the shown pair is.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {ComparedHeads} compared
 */
function markLegends(page, compared) {
  const { legends, state } = page;
  const cell = state.row * compared.keys.pairs.length + shownKey(compared, state);
  const hidden = onlySide(compared, state) !== null || emptySide(compared, state) !== null;
  const [first, second] = compared.weights;
  for (const [name, numbers] of Object.entries({ first, second, difference: compared.difference })) {
    const colours = legends[name]?.colours;
    page.write(`attn-legend-${name}`, { mark: colours && !hidden ? markOf(colours, numbers[cell]) : null });
  }
}

/**
 * The title and subtitle of each plot.
 *
 * @param {import("./controller.js").ComparisonPage} page
 * @param {ComparedHeads} compared
 * @returns {Record<string, {text: string, subtitle: string, hint?: string}>} by the plot's name; “row” is that of the bars
 */
export function captionsOf(page, compared) {
  const { state, traces } = page;
  /** @param {number} side */
  const which = (side) => (state.aggregate[side] ? t("mean of its heads") : t("head {head}", { head: state.head[side] }));
  /** @param {number} side */
  const where = (side) => `${t("layer {number}", { number: state.layer[side] })}, ${which(side)}`;
  /** @param {number} side */
  const rule = (side) => {
    const said = [where(side)];
    if (state.temperature[side] !== 1) said.push(`τ ${fixed(state.temperature[side], 2)}`);
    if (state.mask[side] !== masksOf(traces[side])[0]) said.push(t("mask {name}", { name: maskName(page, side) }));
    return said.join(" · ");
  };
  const { changed } = page.model.given;
  const only = onlySide(compared, state);
  const read = only ? t("in {side} only: it has no counterpart", { side: only }) : t("A left, B right, the change in points");
  const [one, other] = tokenPair(page, compared.queries);
  const token = pairName(one, other);
  const place = where(0) === where(1) ? where(0) : t("{one} and {other}", { one: where(0), other: where(1) });
  const ranked = state.every ? t("mean over all tokens") : t("what moves of “{token}”", { token });
  return {
    first: { text: "A", subtitle: rule(0) },
    second: { text: "B", subtitle: changed ? `${rule(1)} · ${changed}` : rule(1) },
    difference: { text: "B − A", subtitle: differenceWords(compared) },
    row: { text: t("Where “{token}” looks", { token }), subtitle: `${place} · ${read}` },
    heads: { text: t("Heads by difference"), subtitle: ranked, hint: t("tap one") },
  };
}
