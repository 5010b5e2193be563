import { element } from "./dom.js";

/**
 * A table that scrolls in its own box, by keys too.
 *
 * @param {import("../explorer/why_token.js").NumberTable} content its last row is strong, if `total`
 */
export function numberTable({ caption, heading, rows, total }) {
  const box = element("div", "attn-table-box");
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", caption);
  const made = element("table", "attn-table");
  const head = element("tr");
  head.append(...heading.map((text) => Object.assign(element("th", "", text), { scope: "col" })));
  made.append(element("thead"), element("tbody"));
  made.tHead?.append(head);
  for (const [at, { name, cells }] of rows.entries()) {
    const row = element("tr", total && at === rows.length - 1 ? "attn-total" : "");
    row.append(Object.assign(element("th", "", name), { scope: "row" }), ...cells.map((text) => element("td", "", text)));
    made.tBodies[0].append(row);
  }
  box.append(made);
  return box;
}
