import { t } from "../core/translate.js";
import { gridOf, onPicture, tokenOfCell } from "../explorer/on_picture.js";
import { select } from "../explorer/selection.js";
import { SIDES, alignedTokens, places, sideOf } from "./model.js";

// Attention on the picture of each side, of the tokens that the selected row and key are there.

/** @typedef {import("../explorer/on_picture.js").Direction} Direction */

/**
 * What the card of each side's picture shows, on one scale; null where a trace has no picture.
 *
 * @param {Trace[]} traces the shown layers' arrays ready
 * @param {Compared} state
 * @param {SelectionCache[]} caches one for each side, as for select
 * @param {Direction} direction
 */
export function comparedPictures(traces, state, caches, direction) {
  const { queries, keys } = alignedTokens(traces, state);
  const focus = direction === "seen" && state.key !== null ? keys.pairs[state.key] : queries.pairs[state.row];
  /** @param {Trace} trace @param {number} side @param {number} least */
  const shown = (trace, side, least) => {
    const token = focus[side];
    const key = state.key === null ? -1 : keys.pairs[state.key][side];
    const chosen = { ...sideOf(trace, state, side), query_index: Math.max(token, 0) };
    /** @type {State} */
    const own = { ...chosen, pair: key < 0 ? null : [chosen.query_index, key] };
    const content = onPicture(trace, own, select(trace, own, caches[side]), direction, null, least);
    if (content === null) return null;
    const directions = content.directions?.filter((one) => one !== "through");
    const missing = token < 0 ? t("The selected token has no counterpart on this side.") : content.missing;
    return { ...content, side: SIDES[side], directions, missing, subtitle: `${SIDES[side]}${content.subtitle ? ` · ${content.subtitle}` : ""}` };
  };
  const ends = traces.map((trace, side) => shown(trace, side, 0)?.high ?? 0);
  return traces.map((trace, side) => shown(trace, side, Math.max(...ends)));
}

/**
 * The row or the key that a reader has chosen on a side's picture; none of another window.
 *
 * @param {Trace[]} traces
 * @param {Compared} state
 * @param {number} side
 * @param {any} message of the card
 * @returns {Partial<Compared>}
 */
export function chosenOnPicture(traces, state, side, message) {
  const call = traces[side].calls[state.layer[side]];
  const aligned = alignedTokens(traces, state);
  const [queries, keys] = [gridOf(traces[side], call.T, call.layer), gridOf(traces[side], call.S, call.layer)];
  /** @param {"queries" | "keys"} which @param {number} token */
  const at = (which, token) => places(0, aligned[which].pairs.length).find((place) => aligned[which].pairs[place][side] === token);
  const grid = queries ?? keys;
  if ("patch" in message && grid) {
    const { batch, token } = tokenOfCell(grid, 0, message.patch);
    if (batch !== 0) return {};
    return chosenOnPicture(traces, state, side, queries ? { token } : { key: token });
  }
  const row = "token" in message ? at("queries", message.token) : undefined;
  const key = "key" in message ? at("keys", message.key) : undefined;
  return row !== undefined ? { row, key: null } : key !== undefined ? { key } : {};
}
