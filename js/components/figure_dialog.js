import { t } from "../core/translate.js";
import { element } from "./dom.js";
import { CSS_DPI, pngOf } from "./figure_png.js";
import { printFigure } from "./print_figure.js";
import { saveFile } from "./save_file.js";

// A figure as it will be saved, in a width to choose, and buttons that save it.

const DPI = 300;
const MM_PER_INCH = 25.4;
const POINTS_PER_PIXEL = 72 / CSS_DPI;
// Widths in millimetres; 0 is that on the screen.
/** @type {[string, number][]} */
const WIDTHS = [[t("as wide as here"), 0], [t("column, 85 mm"), 85], [t("page, 180 mm"), 180]];
// The smallest text of a figure in CSS pixels, and what can still be read on paper, in points.
const SMALLEST_TEXT = 10;
const READABLE_POINTS = 5;
const STYLE = `
dialog { background: var(--attn-card, #fff); color: var(--attn-ink, #1b2130); border: 1px solid var(--attn-line, #ccc);
  border-radius: 12px; padding: 16px; max-width: min(92vw, 900px); font: 14px system-ui, sans-serif; }
dialog::backdrop { background: #0006; }
h2 { font-size: 16px; margin: 0 0 8px; }
img { display: block; max-width: 100%; max-height: 60vh; border: 1px solid var(--attn-line, #ccc); }
label { display: flex; gap: 6px; align-items: center; min-height: 32px; }
div { display: flex; gap: 8px; margin-top: 10px; flex-wrap: wrap; }
button { font: inherit; color: inherit; background: none; border: 1px solid var(--attn-line, #ccc); border-radius: 8px;
  padding: 6px 12px; min-height: 32px; cursor: pointer; }
select { font: inherit; color: inherit; background: none; border: 1px solid var(--attn-line, #ccc); border-radius: 8px; padding: 4px 8px; min-height: 32px; }
p { margin: 4px 0 0; color: var(--attn-muted, #667085); font-size: 12px; }
select:focus-visible, button:focus-visible { outline: 2px solid var(--attn-accent, #3b5bdb); }
`;

/** @typedef {import("./figure_png.js").Figure} Figure */

/**
 * A figure in a width on paper: all of it, texts too, larger or smaller.
 *
 * @param {Figure} figure
 * @param {number} millimetres 0 leaves it as it is
 * @returns {Figure}
 */
export function inWidth({ text, width, height }, millimetres) {
  if (millimetres === 0) return { text, width, height };
  const wide = (millimetres / MM_PER_INCH) * CSS_DPI;
  const high = (height * wide) / width;
  /** @param {number} pixels */
  const paper = (pixels) => `${((pixels / CSS_DPI) * MM_PER_INCH).toFixed(2)}mm`;
  const sized = text.replace(/^<svg ([^>]*?)width="[^"]*" height="[^"]*"/, `<svg $1width="${paper(wide)}" height="${paper(high)}"`);
  return { text: sized, width: wide, height: high };
}

/** @param {Element} shown */
function isDark(shown) {
  const parts = getComputedStyle(shown).backgroundColor.match(/\d+/g) ?? [];
  return parts.slice(0, 3).reduce((sum, part) => sum + Number(part), 0) < 3 * 128;
}

/**
 * Opens the dialog.
 *
 * @param {HTMLElement | ShadowRoot} place
 * @param {string} fileName without its ending
 * @param {[string, (several: boolean) => Figure]} figure its title for those who hear the page, and what makes it
 * @param {boolean} offersSteps whether the plots beside it can be in it, too
 */
export function openFigureDialog(place, fileName, [title, make], offersSteps) {
  const dialog = element("dialog", "attn-figure-dialog");
  const shown = element("img");
  const all = element("input");
  all.type = "checkbox";
  const label = element("label");
  label.append(all, t("Score, softmax and mix in one figure"));
  const width = element("select");
  width.append(...WIDTHS.map(([text, value]) => Object.assign(element("option", "", text), { value: String(value) })));
  const wide = element("label");
  wide.append(t("Width"), width);
  const note = element("p");
  note.setAttribute("aria-live", "polite");
  const [svg, png, pdf, close] = [t("Save SVG"), t("Save PNG, {dpi} dpi", { dpi: DPI }), t("PDF …"), t("Close")].map((text) => element("button", "", text));
  pdf.title = t("Opens the browser’s print dialog on a page of the figure’s size: choose “Save as PDF” there");
  let figure = make(false);
  let url = "";
  const draw = () => {
    const whole = make(all.checked);
    figure = inWidth(whole, Number(width.value));
    const points = (SMALLEST_TEXT * POINTS_PER_PIXEL * figure.width) / whole.width;
    const sizes = { wide: Math.round((figure.width / CSS_DPI) * MM_PER_INCH), points: points.toFixed(1) };
    note.textContent =
      points < READABLE_POINTS
        ? t("{wide} mm wide; its smallest text has {points} pt: hard to read. trace.figure() in Python makes figures for a column.", sizes)
        : t("{wide} mm wide; its smallest text has {points} pt.", sizes);
    if (isDark(dialog)) note.textContent += ` ${t("Dark, as the page is: switch to light for paper.")}`;
    URL.revokeObjectURL(url);
    url = URL.createObjectURL(new Blob([figure.text], { type: "image/svg+xml" }));
    Object.assign(shown, { src: url, alt: title, width: whole.width });
  };
  const name = () => `${fileName}${all.checked ? "-steps" : ""}-figure`;
  for (const choice of [all, width]) choice.addEventListener("change", draw);
  svg.addEventListener("click", () => saveFile(figure.text, `${name()}.svg`, "image/svg+xml"));
  png.addEventListener("click", async () => saveFile(await pngOf(figure, DPI), `${name()}.png`, "image/png"));
  pdf.addEventListener("click", () => printFigure(figure, name()));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", ({ target }) => {
    if (target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => event.stopPropagation()); // the page's keys do not apply
  dialog.addEventListener("close", () => {
    URL.revokeObjectURL(url);
    dialog.remove();
  });
  const buttons = element("div");
  buttons.append(svg, png, pdf, close);
  dialog.setAttribute("aria-label", t("Save a figure"));
  dialog.append(element("style", "", STYLE), element("h2", "", t("Save a figure")), shown, ...(offersSteps ? [label] : []), wide, note, buttons);
  place.append(dialog);
  draw();
  dialog.showModal();
}
