import { gridMarks, heatmapMarks } from "../core/notes.js";
import { modelNamed } from "../core/scope.js";

/**
 * @typedef {{ink: string, card: string}} Ink
 * @typedef {{what: string, figure: BokehModel, source: BokehModel, drawn: string, theme?: string}} MarkedPlot
 */

// Colours of the marks' glyphs, by the renderer's name.
/** @type {Record<string, (colours: Ink) => object>} */
const COLOURS = {
  "attn:ground": ({ card }) => ({ line_color: card }),
  "attn:dashes": ({ ink }) => ({ line_color: ink }),
  "attn:badge": ({ ink, card }) => ({ text_color: card, background_fill_color: ink, border_line_color: card }),
};

/** Draws the marks of notes on the explorer's plots. */
export class Marks {
  /** @param {BokehModel[]} models @param {Record<string, string>} marked what can be marked, by view */
  constructor(models, marked) {
    /** @param {string} name */
    const named = (name) => modelNamed(models, name);
    /** @type {MarkedPlot[]} */
    this.plots = Object.entries(marked).flatMap(([view, what]) => {
      const [figure, source] = [named(`attn:plot:${view}`), named(`attn:marks:${view}`)];
      return figure && source ? [{ what, figure, source, drawn: "" }] : [];
    });
  }

  get empty() {
    return this.plots.every(({ source }) => source.data.text.length === 0);
  }

  /**
   * Calls back when a heatmap is zoomed or panned.
   *
   * @param {() => void} callback
   */
  onZoom(callback) {
    for (const { figure } of this.plots.slice(0, 1)) {
      for (const range of [figure.x_range, figure.y_range]) range.change.connect(callback);
    }
  }

  /** @param {Note[]} notes @param {Place} place @param {Ink} colours */
  draw(notes, place, colours) {
    for (const plot of this.plots) {
      const { x_range: x, y_range: y } = plot.figure;
      const shown = {
        left: Math.min(x.start, x.end),
        right: Math.max(x.start, x.end),
        top: Math.min(y.start, y.end),
        bottom: Math.max(y.start, y.end),
      };
      const columns = (plot.what === "heads" ? gridMarks : heatmapMarks)(notes, place, shown);
      this.paint(plot, colours);
      const drawn = JSON.stringify(columns);
      if (drawn === plot.drawn) continue;
      plot.drawn = drawn;
      // In place: no message to a server, and one repaint.
      Object.assign(plot.source.data, columns);
      plot.source.change.emit();
    }
  }

  /**
   * Sets the colours of a plot's marks.
   *
   * @param {MarkedPlot} plot
   * @param {Ink} colours
   */
  paint(plot, colours) {
    const theme = JSON.stringify(colours);
    if (theme === plot.theme) return;
    plot.theme = theme;
    for (const { data_source, name, glyph } of plot.figure.renderers) {
      if (data_source === plot.source) glyph.setv(COLOURS[name](colours), { sync: false });
    }
  }

  /**
   * The axis label at a position of the heatmaps.
   *
   * @param {"left" | "below"} side
   * @param {number} index
   */
  label(side, index) {
    const axis = this.plots[0]?.figure[side].find((/** @type {BokehModel} */ part) => part.formatter?.args);
    const args = axis?.formatter.args ?? {};
    const labels = (args instanceof Map ? args.get("labels") : args.labels) ?? [];
    return labels[index] ?? String(index);
  }
}
