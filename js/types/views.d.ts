// Types of what the page draws: pictures, their legends, and the rows of the table of views.

/** A heatmap of the viewport. */
interface Heatmap {
  cells: { values: Floats; rows: number; columns: number };
  /** values for the tooltip, if colours are relative to the row */
  exact?: Floats | null;
  /** where the colour scale ends */
  high: number;
}

/** Columns of a Bokeh data source. An image's matrix is row-major, with `rows` and `columns` beside it. */
type Columns = Record<string, any>;

/** How numbers become colours; the colour bar spreads the palette by the power. */
type Colours = { low: number; high: number; palette: string[]; power?: number };

/** A position on an axis, and its label. */
type Tick = [number, string];

/** A colour bar: CSS, the numbers below it at parts of its width, and what else is said beside it. */
interface Legend {
  gradient: string;
  ticks: [number, string][];
  words: string;
  masked: boolean;
}

/** What a colour bar says beside its numbers; `relative`: they are parts of each row's largest. `pairs`: its cells can be masked; `points`: its numbers are percentage points. */
type LegendWords = { words?: string; relative?: boolean; pairs?: boolean; points?: boolean };

/** A row of attnpanel.explorer.weight_scales. */
interface WeightScale {
  name: string;
  label: string;
  caption: string;
  power: number;
  /** the name of its palette */
  ramp: string;
  ends: "one" | "own" | "row";
}

/** One picture as data, as attnpanel.explorer.views.drawing.Drawing. */
interface Drawing {
  sources: Record<string, Columns>;
  /** the whole range, first and last */
  x: number[];
  /** runs downwards where first > last */
  y: number[];
  colours: Colours | null;
  /** the same array while the tokens are the same */
  xLabels: string[] | null;
  yLabels: string[] | null;
  /** labelled positions of an axis of numbers */
  xTicks?: Tick[] | null;
  yTicks?: Tick[] | null;
  /** [left, right, first, last]; null is the picture's own edge */
  outline: (number | null)[] | null;
  /** in pixels */
  height: number | null;
  /** whether NaN means a masked cell; null if no cell can be masked */
  masked: boolean | null;
  /** what it leaves out, in a sentence */
  about?: string;
  /** what it says to those who do not see it */
  spoken?: string;
}

/** Measurements for a view that is drawn with the numbers, by name. */
type Measured = Record<string, Floats>;

/** A row of attnpanel.explorer.views.VIEWS, as plain data. */
interface ViewRow {
  name: string;
  title: string;
  /** meaning of the axes: query, key, channel, layer, head or listed key */
  x: string | null;
  y: string | null;
  drawn: "at once" | "with the numbers" | "with the tiles";
  heatmap: boolean;
  /** the choices that change its data, and those that change only its outline */
  depends: string[];
  moves: string[];
}

/** How the page draws a view; see views/table.js. */
interface ViewFunctions {
  draw(trace: Trace, state: State, cache: SelectionCache, measured?: any): Drawing;
  caption?(trace: Trace, state: State): { text?: string; subtitle?: string };
  outline?(trace: Trace, state: State): (number | null)[];
  /** whether a view drawn at once stays as it is until the reader pauses, because drawing it takes long */
  waits?(trace: Trace, state: State, changed: Set<string>): boolean;
  /** what the colour bar says beside its numbers */
  legend?(trace: Trace, state: State): LegendWords;
  measure?(trace: Trace, state: State, selection: HeadSelection): Measured;
}
