// Types of a trace in the page, and of what is computed from it.

type Floats = Float32Array | Float64Array;
type FloatsType = new (length: number) => Floats;
/** Equally long vectors in a matrix: element d of vector i is matrix[i * countStep + d * depthStep]. */
interface Vectors {
  matrix: Floats;
  count: number;
  depth: number;
  countStep: number;
  depthStep: number;
}
/** What softmax writes: T*S, T and T numbers. */
interface SoftmaxResult {
  weights: Floats;
  logsumexp: Floats;
  empty: Uint8Array;
}
interface SoftmaxRule {
  T: number;
  S: number;
  visible: Uint8Array | null;
  /** how far apart the rows of `visible` lie: S, or 0 for one row that all queries share */
  step: number;
  temperature: number;
  /** the weights of a row that sees no key */
  fill: number;
  /** -Infinity for none */
  sink: number;
}
/** One way to compute: in plain JavaScript or in WebAssembly. */
interface AttentionKernel {
  /** out = factor * left @ vectors.T, where left has so many rows */
  product(out: Floats, left: Floats, factor: number, vectors: Vectors, rows: number): void;
  softmax(scores: Floats, result: SoftmaxResult, rule: SoftmaxRule): void;
}
/** The keys and values of one head. */
type HeadVectors = { key: Floats; value: Floats | null };
type HeadSizes = { S: number; D: number; Dv: number };
/** Some queries of all heads, whose means are asked for. */
interface MeanPart {
  first: number;
  rows: number;
  /** rows*D, by head */
  queries: Floats[];
  /** as of spansOf; a head's is the one that maskOf says */
  masks: { spans: Int32Array; visible: Uint8Array | null }[];
  maskOf: number[];
  /** by head: the sink's score, -inf for none, and the weights where a query sees nothing */
  sinks: number[];
  fills: number[];
  scale: number;
  temperature: number;
}
type MeanArrays = { scores: Floats; weights: Floats; output: Floats | null };
type EmptyRows = "zero" | "uniform" | "nan";
type Align = "top_left" | "bottom_right";

/** Description of one array of a call, by wire_format.py. */
type ArrayLayout = { name: string; dtype: "bool" | "float16" | "float32" | "int32"; shape: number[] };

/** Description of a call without its arrays, by wire_format.py. */
interface CallFields {
  index: number;
  layer: string;
  B: number;
  H: number;
  Hkv: number;
  T: number;
  S: number;
  D: number;
  Dv: number;
  causal: "none" | "top_left" | "bottom_right";
  qOffset: number;
  /** Whether attention can be computed; false if only weights were recorded. */
  live: boolean;
  hasValue: boolean;
  hasColours: boolean;
  hasBias: boolean;
  /** Names of the arrays that hold nan or inf, as the model computed them. */
  notFinite?: string[];
  /** Whether the layer is too large for the page, so that Python computes it. */
  partial?: boolean;
  scale: number;
  usualScale: boolean;
  softCap: number | null;
  /** the layout of a rotary position embedding, and how many of the first channels it rotates; null if not known */
  rotary?: [string, number] | null;
  /** what heads write after the output projection, where that was recorded: its tokens' list, and why some is not known */
  outputs?: { vocabulary?: number; missing: string } | null;
  sinks: number[] | null;
  dtype: string;
  /** "self" if queries and keys are of one sequence */
  kind: string;
  /** The layer's and the heads' numbers in the whole trace, if this one is a subset. */
  number?: number;
  headNumbers?: number[];
  arrays: ArrayLayout[];
}

/** Tokens of each key or row, as places in the call's list, and their logits; so many are listed of each. */
type RankedTokens = { ids: Int32Array; logits: Float32Array; listed: number };
/** norms: S; scale: T */
interface HeadOutputs {
  norms: Float32Array | null;
  keys: RankedTokens | null;
  rows: RankedTokens | null;
  scale: Float32Array | null;
}

/** One attention call, as returned by openTrace. Heads and batch entries are numbered from 0. */
interface Call extends CallFields {
  readonly opened: boolean;
  /** The serialized arrays; undefined until they have arrived. */
  readonly packed: string | ArrayBuffer | undefined;
  ready(): Promise<void>;
  receive(arrived: string | ArrayBuffer): void;
  /** T*D */
  query(batch: number, head: number): Float32Array;
  /** S*D */
  key(batch: number, head: number): Float32Array;
  /** S*Dv; null if no values were kept */
  value(batch: number, head: number): Float32Array | null;
  /** what a head writes after the output projection, as far as it was recorded: see HeadOutputs in Python */
  headOutputs(batch: number, head: number): HeadOutputs;
  /** T*S weights */
  recorded(batch: number, head: number): Float32Array;
  bias(batch: number, head: number): Float32Array | null;
  /** T*S, 1 = may attend */
  visible(batch: number, head: number): Uint8Array;
  /** S*3 from 0 to 1; head null means the mean; null if unknown */
  colours(batch: number, head: number | null, seed: number): Floats | null;
}

/** A rule of the table of masks: a number, a name, or an operation and its operands. */
type MaskTree = number | string | any[];

/** A row of that table; see core/masks.js. */
interface MaskKind {
  kind: string;
  label: string;
  /** names of MaskParameters */
  needs: string[];
  aligned: boolean;
  first: MaskTree;
  stop: MaskTree;
  only: MaskTree | null;
}

interface MaskParameter {
  name: string;
  label: string;
  address: string;
  positions: boolean;
  followsLengths: boolean;
  low: MaskTree;
  high: MaskTree;
  start: MaskTree;
}

type MaskTable = { kinds: MaskKind[]; parameters: MaskParameter[] };

/** Values of mask parameters by name: numbers of tokens, or increasing positions of tokens. */
type MaskValues = Record<string, number | number[]>;

/** A choice in a URL, as attnpanel.explorer.address.address_for_page. */
interface AddressRow {
  /** the query parameter */
  address: string;
  /** the choice */
  name: string;
  label: string;
  /** null for numbers and positions, and for the mask */
  options: string[] | null;
  /** whether the default is left out of a URL */
  optional: boolean;
}

/** The JSON document of a payload. */
interface TraceMeta {
  schema: string;
  trace: string;
  source: string;
  model: string;
  calls: CallFields[];
  /** By layer and batch entry: [query tokens, key tokens] of the call, or null if they are the trace's. */
  labels: ([string[], string[]] | null)[][];
  queryTokens: string[][];
  masks: MaskTable;
  views: ViewRow[];
  scales: WeightScale[];
  address: AddressRow[];
  /** Dv*3 by Dv and seed. */
  /** by batch entry: the text that each token came from, "" for an added one; empty if that is not known */
  origins?: string[][];
  /** the token for text that the model has none for; "" if there is none */
  unknownToken?: string;
  /** the tokens that heads promote, of each capture */
  vocabularies?: string[][];
  /** colours of heads, by number */
  headColours: string[];
  projections: Record<string, Record<string, ArrayLike<number>>>;
  /** whether the layers are embedded in the page or requested */
  embedded?: boolean;
  seeds?: number;
  colorSeed?: number;
  /** Number of layers and heads of the whole trace, if this one is a subset. */
  layerCount?: number;
  /** which layers a capture left out, in words; empty if none */
  leftOut?: string;
  headCount?: number;
  themes: Themes;
  palettes: { light: Palettes; dark: Palettes };
  /** the picture whose patches the tokens are; null if there is none */
  picture?: { images: string[]; grids: PictureGrid[] } | null;
}

/** Tokens of a sequence that lie on the picture, by attnpanel.trace.picture.Grid. */
interface PictureGrid {
  rows: number;
  columns: number;
  length: number;
  start: number;
  names: string[];
  grows: boolean;
  /** the layers that have it; none: all without one of their own */
  layers: string[];
  /** windows down and across, each a sequence of the batch, and how far they are moved down and right */
  windows: [number, number];
  shift: [number, number];
}

interface Trace extends Omit<TraceMeta, "calls"> {
  meta: TraceMeta;
  calls: Call[];
  tokensOf(call: Call, batch: number): { queries: string[]; keys: string[] };
}

type Theme = Record<string, string>;
type Themes = { light: Theme; dark: Theme };
type Palettes = { diverging: string[]; sequential: Record<string, string[]> };

/** Every choice a reader can make, as attnpanel.explorer.state.ExplorerState. */
interface State {
  layer: number;
  head: number;
  aggregate: boolean;
  batch: number;
  query_index: number;
  temperature: number;
  mask: string;
  align: Align;
  empty_rows: EmptyRows;
  color_seed: number;
  weight_scale: string;
  skip_first: boolean;
  /** the heads whose lines are drawn; empty for the layer's first ones */
  line_heads: number[];
  lines_of_token: boolean;
  /** side (0 query, 1 key) and index of the token under the pointer in the line view */
  line_token: number[] | null;
  pair: number[] | null;
  viewport: number[] | null;
  dark: boolean;
  /** values of mask parameters by name */
  [needed: string]: any;
}

/** One head, or the mean over heads, of one sequence of one call; do not modify. */
interface HeadSelection {
  /** queries */
  T: number;
  /** keys */
  S: number;
  /** T*S, before mask and temperature; null if only weights were recorded */
  scores: Floats | null;
  /** T*S */
  weights: Floats;
  /** T*Dv; null if no values were kept */
  output: Floats | null;
  /** T*S, 1 = the query may attend to the key */
  visible: Uint8Array;
  /** T, 1 = the query may see no key */
  empty: Uint8Array;
}

/** One query's row of a selection. */
interface SelectionRow {
  /** S */
  weights: Floats;
  /** S; null if only weights were recorded */
  scores: Floats | null;
  /** S */
  visible: Uint8Array;
}

/** A selection of a layer that is too large for the page, from Python's answers. */
interface PartialSelection {
  /** queries */
  T: number;
  /** keys */
  S: number;
  /** T, 1 = the query may see no key */
  empty: Uint8Array;
  /** by view */
  heatmaps: Record<string, Heatmap>;
  /** the first key whose numbers count for the colour scale */
  first: number;
  /** by query, the requested ones */
  rows: Map<number, SelectionRow>;
  /** S*3 from 0 to 1; null if no values were kept */
  colours: Float64Array | null;
}

type AnySelection = HeadSelection | PartialSelection;

/** The cache that the caller of `select` keeps; initially empty. */
type SelectionCache = Record<string, any>;

/** A piece of a sentence: [kind, text]; the text is never markup. */
type Piece = [string, string];

/** The state of a comparison; see compare/model.js. Each pair is [first side, second side]. */
interface Compared {
  layer: number[];
  head: number[];
  /** whether the mean of the layer's heads is shown */
  aggregate: boolean[];
  temperature: number[];
  mask: string[];
  /** names of the choices in which the two sides may differ */
  apart: string[];
  /** the selected query, as an index of the aligned queries */
  row: number;
  /** the key under the pointer, as an index of the aligned keys; null means the largest change */
  key: number | null;
  /** whether heads are ranked by all queries, not by the selected one */
  every: boolean;
  dark: boolean;
  /** values of mask parameters by name */
  [needed: string]: any;
}

/** Aligned tokens: indices in both sequences, -1 without a counterpart, and their names, null without one. */
type AlignedRows = { pairs: [number, number][]; names: (string | null)[][] };

/** Both heads on one grid of aligned tokens; NaN if a side has no such token. */
type ComparedHeads = { queries: AlignedRows; keys: AlignedRows; weights: Float32Array[]; difference: Float32Array };

type HeadChange = { layer: number; head: number; moved: number };

/** A reader's note; its kind determines which indices it has. */
interface Note {
  kind: "cell" | "row" | "head";
  layer: number;
  /** null: the mean over heads */
  head: number | null;
  batch: number;
  query_index?: number;
  key_index?: number;
  text: string;
  /** the tokens' texts */
  query?: string;
  key?: string;
  /** query string of the choices under which it was written */
  address?: string;
  created: string;
}

type Place = { layer: number; head: number | null; batch: number };
/** The viewport of a plot; y runs downwards. */
type Shown = { left: number; right: number; top: number; bottom: number };
