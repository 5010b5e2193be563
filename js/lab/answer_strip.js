import { t } from "../core/translate.js";
import { element } from "../components/dom.js";

// Each head's weight on the answer at every recorded step, in which one sees a head form, and the step at which it does.

const FORMED = 0.5;
const LEGEND = t("Above: that weight, a row for each head, a column for each kept step. Below: layer.head · that weight.");

/** @typedef {import("./head_plots.js").Frame} Frame */

/**
 * The first kept step from which on a head keeps at least half of its weight on the answer, and that head.
 *
 * @param {Pick<Frame, "answers">[]} frames
 * @returns {?{place: number, layer: number, head: number}}
 */
export function formed(frames) {
  const last = frames[frames.length - 1];
  /** @type {?{place: number, layer: number, head: number}} */
  let found = null;
  (last?.answers ?? []).forEach((row, layer) =>
    row.forEach((_weight, head) => {
      let first = frames.length;
      while (first > 0 && frames[first - 1].answers[layer]?.[head] >= FORMED) first -= 1;
      if (first < frames.length && (found === null || first < found.place)) found = { place: first, layer, head };
    }),
  );
  return found;
}

export class AnswerStrip {
  root = element("div", "lab-answer-strip");
  box = element("div", "lab-strip");
  canvas = element("canvas");
  mark = element("i");
  summary = element("p", "attn-caption lab-formed");
  /** columns: recorded steps */
  count = 0;

  /** @param {(place: number, head?: [number, number]) => void} onChoose takes a column, and a head to look at */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.box.append(this.canvas, this.mark);
    this.root.append(this.box, this.summary);
    for (const name of ["pointerdown", "pointermove"]) {
      this.canvas.addEventListener(name, (event) => this.onPointer(/** @type {PointerEvent} */ (event)));
    }
  }

  /** @param {PointerEvent} event */
  onPointer({ type, buttons, clientX }) {
    if (type === "pointermove" && buttons === 0) return;
    const { left, width } = this.canvas.getBoundingClientRect();
    const place = Math.floor(((clientX - left) / width) * this.count);
    this.onChoose(Math.min(Math.max(place, 0), this.count - 1));
  }

  /**
   * @param {import("./head_plots.js").HeadPlots} plots whose colours are used
   * @param {Frame[]} frames
   * @param {number} at
   */
  draw(plots, frames, at) {
    this.count = frames.length;
    const rows = frames[0]?.answers.flat().length ?? 0;
    this.root.hidden = rows === 0;
    if (rows === 0) return;
    const flat = frames.map((frame) => frame.answers.flat());
    plots.paint(this.canvas, frames.length, rows, (place) => {
      const weight = flat[place % frames.length][Math.floor(place / frames.length)];
      return 255 * Math.min(Math.max(weight, 0), 1);
    });
    this.canvas.style.height = `${Math.min(Math.max(rows * 6, 24), 96)}px`;
    this.mark.style.left = `${(100 * (at + 0.5)) / frames.length}%`;
    this.mark.style.width = `${100 / frames.length}%`;
    this.drawSummary(frames);
  }

  /** @param {Frame[]} frames */
  drawSummary(frames) {
    const first = formed(frames);
    if (first === null) this.summary.replaceChildren(`${t("No head puts half of its weight on the answer yet.")} `);
    else {
      const { place, layer, head } = first;
      const go = element("button", "attn-link-button", t("step {step}", { step: frames[place].step }));
      go.addEventListener("click", () => this.onChoose(place, [layer, head]));
      this.summary.replaceChildren(`${t("Layer {layer}, head {head} has formed: from", { layer, head })} `, go, ` ${t("on it puts at least half of its weight on the answer.")} `);
    }
    this.summary.append(element("small", "", LEGEND));
  }
}
