import { t } from "../core/translate.js";
import { element } from "./dom.js";

// The likeliest next tokens as a table, with a bar for each probability.

/** @typedef {{name: string, note: string, shares: number[]}} Candidate `note` says what became of it, "" for nothing; its probability in each column */

/** @param {number} part */
const share = (part) => (part > 0 && part < 0.001 ? "< 0.1 %" : `${(100 * part).toFixed(1)} %`);

/**
 * @param {HTMLTableElement} table
 * @param {string} caption
 * @param {string[]} columns what the probabilities are of
 * @param {Candidate[]} candidates
 */
export function fillCandidates(table, caption, columns, candidates) {
  const head = element("tr");
  for (const name of [t("Next token"), ...columns]) {
    const cell = element("th", "", name);
    cell.scope = "col";
    cell.role = "columnheader";
    head.append(cell);
  }
  const lines = candidates.map(({ name, note, shares }) => {
    const line = element("tr", note ? "attn-actual" : "");
    const cell = element("th", "", name);
    cell.scope = "row";
    cell.role = "rowheader";
    if (note) cell.append(element("small", "", ` ${note}`));
    line.append(cell, ...shares.map(bar));
    return line;
  });
  const [top, body] = [element("thead"), element("tbody")];
  top.append(head);
  body.append(...lines);
  // What they are stays so where a stylesheet lays them out otherwise.
  table.role = "table";
  top.role = body.role = "rowgroup";
  for (const line of [head, ...lines]) line.role = "row";
  table.replaceChildren(element("caption", "", caption), top, body);
}

/** @param {number} part */
function bar(part) {
  const cell = element("td");
  cell.role = "cell";
  const fill = element("i");
  fill.style.width = `${(100 * part).toFixed(2)}%`;
  cell.append(fill, element("span", "", share(part)));
  return cell;
}
