import { t } from "../core/translate.js";
import { element } from "../components/dom.js";

// Describes one certificate: of the cell tapped in the matrix or reached by the arrow keys. Texts of a result file are
// untrusted and set as text.

/** @type {Record<string, [number, number]>} */
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * @param {Props<{ rows: string[], columns: string[], cells: { row: number, column: number, lines: [string, string][] }[], at: number[] }>} props
 */
export function render({ model }) {
  const box = element("div", "bench-certificate");
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", t("One certificate; arrow keys go to another cell of the matrix"));
  const words = element("div");
  words.setAttribute("role", "status");
  const hint = element("p", "attn-caption muted", t("Tap a cell, or focus this box and use the arrow keys."));
  box.append(words, hint);

  const draw = () => {
    const [row, column] = model.at;
    const cell = model.cells.find((candidate) => candidate.row === row && candidate.column === column);
    const where = `${model.rows[row] ?? ""} · ${model.columns[column] ?? ""}`;
    const lines = cell?.lines ?? [["none", t("This run holds no certificate for this cell.")]];
    const list = element("ul", "bench-checks");
    list.append(...lines.slice(1).map(([verdict, text]) => element("li", verdict, text)));
    const name = element("strong", "", where);
    // Names and reasons are those of the run's file, in English.
    for (const named of [name, list]) named.translate = false;
    words.replaceChildren(name, element("p", `bench-verdict ${lines[0][0]}`, lines[0][1]), list);
    const outline = model.document.get_model_by_name("bench:cell");
    outline?.setv(
      { left: column - 0.5, right: column + 0.5, top: row + 0.5, bottom: row - 0.5, visible: true },
      { sync: false },
    );
  };
  /** @param {number} row @param {number} column */
  const go = (row, column) => {
    if (row < 0 || row >= model.rows.length || column < 0 || column >= model.columns.length) return;
    model.at = [row, column];
  };
  /** Scrolls a matrix that is wider than its card to the cell. */
  const reveal = () => {
    // In the nearest card around the box that holds it.
    /** @type {any} */
    let around = box.getRootNode();
    while (around.host && !around.querySelector(".bench-wide")) around = around.host.getRootNode();
    const wide = around.querySelector(".bench-wide");
    const figure = model.document.get_model_by_name("bench:plot:matrix");
    if (!wide || !figure) return;
    const cell = figure.frame_width / model.columns.length;
    const left = figure.width - figure.frame_width + cell * model.at[1];
    if (left < wide.scrollLeft) wide.scrollLeft = model.at[1] ? left : 0;
    else if (left + cell > wide.scrollLeft + wide.clientWidth) wide.scrollLeft = left + cell - wide.clientWidth;
  };
  /** @param {any} event */
  const onTap = (event) => go(event.detail.row, event.detail.column);
  box.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(model.at[0] + step[0], model.at[1] + step[1]);
    reveal();
  });
  document.addEventListener("bench:cell", onTap);
  model.on("at", draw);
  model.on("after_render", draw);
  model.on("remove", () => document.removeEventListener("bench:cell", onTap));
  draw();
  return box;
}
