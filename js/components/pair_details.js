import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { withSymbols } from "./words.js";

/**
 * A table that scrolls in its own box, by keys too.
 *
 * @param {string} caption
 * @param {string[]} heading
 * @param {import("../explorer/pair_details.js").NumberRow[]} rows the last one strong, if `total`
 * @param {boolean} [total]
 */
function table(caption, heading, rows, total = false) {
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

/**
 * Where the shown number comes from, on demand: query, key and value of the pair, and its row as a table.
 *
 * @param {Props<Dispatching<{ content: Partial<import("../explorer/pair_details.js").PairNumbers> }>>} props
 */
export function render({ model }) {
  const root = element("details", "attn-details");
  const summary = element("summary", "", "Where the number comes from: Q, K, V and the row as a table");
  const inside = element("div", "attn-details-inside");
  root.append(summary, inside);
  const draw = () => {
    const { title, shapes, channels, product, steps, heading, row, output, left, missing } = model.content;
    inside.replaceChildren();
    if (!root.open || !row || !heading) return;
    inside.append(element("h3", "", title));
    for (const text of [missing, shapes, product]) if (text) inside.append(element("p", "attn-caption muted", text));
    if (channels?.length) {
      inside.append(table("Query, key and their products by channel", ["", ...channels[0].cells.map((_, channel) => String(channel))], channels));
      const list = element("ol", "attn-details-steps");
      list.append(
        ...(steps ?? []).map(([words, number]) => {
          const item = element("li");
          const said = element("span");
          said.append(...withSymbols(words));
          item.append(element("b", "", number), said);
          return item;
        }),
      );
      inside.append(list);
    }
    inside.append(table("The row as a table", heading, output ? [...row, output] : row, Boolean(output)));
    if (left) inside.append(element("p", "attn-caption muted", left));
  };
  root.addEventListener("toggle", () => {
    dispatch(model, { details: root.open });
    draw();
  });
  model.on("content", draw);
  return root;
}
