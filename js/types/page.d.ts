// Types of BokehJS and of Panel's components, as far as used; neither ships any.

interface Signal {
  connect(slot: () => void): void;
  disconnect(slot: () => void): void;
  emit(): void;
}

interface BokehModel {
  id: string;
  /** of a Panel component: the model that holds its parameters */
  data: any;
  name: string | null;
  css_classes?: string[];
  document: BokehDocument;
  change: Signal;
  properties: Record<string, { change: Signal }>;
  /** Sets properties; `sync: false` sends no message to Python. */
  setv(changes: Record<string, unknown>, options?: { sync?: boolean; silent?: boolean }): void;
  /** Properties of its class. */
  [property: string]: any;
}

interface BokehView {
  el: HTMLElement;
  model: BokehModel;
  parent: BokehView | null;
  child_views?: BokehView[];
  repaint(): void;
  [property: string]: any;
}

interface BokehDocument {
  get_model_by_name(name: string): BokehModel | null;
  views_manager: { get_one(model: BokehModel): BokehView };
  on_event(name: string, callback: () => void): void;
  is_idle: boolean;
  /** Removes everything from the page. */
  clear(): void;
  config?: Pick<BokehModel, "setv">;
  /** Private in Bokeh; there is no other access to all models. */
  _all_models: Map<string, BokehModel>;
}

interface BokehIndex {
  find_one(model: BokehModel | undefined): BokehView | null;
}

interface BokehLibrary {
  documents: BokehDocument[];
  index: BokehIndex;
  /** A module of Bokeh by its path: internals, which may change between versions. */
  require(path: string): any;
  Models: { get(name: string): any };
  set_log_level(level: string): void;
  embed: { embed_items(documents: object, roots: object): Promise<unknown> };
}

declare var Bokeh: BokehLibrary;

/** The model that Panel hands a component's `render`: its Param parameters, and the page around it. */
type ComponentModel<Parameters = {}> = Parameters & {
  document: BokehDocument;
  /** The Bokeh model that holds the parameters. */
  data: BokehModel;
  /** The text of the component's module. */
  esm: string;
  on(events: string | string[], callback: (data?: any) => void): void;
  send_msg(message: object): void;
};

/** The argument of a component's `render`. */
type Props<Parameters = {}> = { model: ComponentModel<Parameters> };

/** A component that dispatches what the reader did, to Python or to the driver in the page. */
type Dispatching<Parameters = {}> = Parameters & { driver: string; explorer_id: string };

/** A plot, as returned by findPlots. */
interface Plot {
  figure: BokehModel;
  sources: Record<string, BokehModel>;
  /** the colours of its image */
  mapper: BokehModel | null;
  /** the box around the selection */
  outline: BokehModel | null;
  /** the boxes around the shown pair: a border, and the ring */
  rings: BokehModel[];
  /** the box below masked cells */
  ground: BokehModel | null;
  /** key of the ranges that were last written */
  span: string;
  view?: BokehView | null;
  palette?: string[];
}

/** The words that a module uses, by the English ones; Python puts them before its text, but for English. */
declare const attnpanelWords: Record<string, string> | undefined;
