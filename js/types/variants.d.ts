// Types of the page of variants: what attnpanel/pages/variants hands over.

type SizeField = { name: string; label: string; description: string; low: number; high: number };
type Sizes = Record<string, number>;
type Count = { name: string; text: string; tree: MaskTree };
type LayoutRow = { name: string; label: string; description: string; source: string; counts: Count[] };
type VisibilityRow = LayoutRow & { rule: MaskKind; values: MaskValues; sink: number | null };
type QuantityRow = Count & { label: string; unit: "B" | "FLOP" };
type ModelRow = { name: string; title: string; layout: string; visibility: string; sizes: Sizes; own: string[]; source: string };
type VariantTable = {
  sizes: SizeField[];
  layouts: LayoutRow[];
  visibilities: VisibilityRow[];
  quantities: QuantityRow[];
  models: ModelRow[];
};

type ExampleLayout = { kvHeads: number; query: number[]; key: number[]; value: number[] };
type Example = { tokens: string[]; T: number; D: number; heads: number; latent: { width: number; numbers: number[] }; layouts: Record<string, ExampleLayout> };

/** A fastest certified time of a result file; units: the largest error, of 8 that pass. */
type MeasuredTime = {
  implementation: string;
  mask: string;
  window: number | null;
  B: number;
  H: number;
  Hkv: number;
  T: number;
  S: number;
  D: number;
  seconds: number;
  flops: number;
  bytes: number;
  share: number;
  units: number | null;
};
type Datasheet = { title: string; flops_per_s: Record<string, number>; bytes_per_s: number };
type MeasuredMachine = { title: string; file: string; date: string; dtype: string; flops_per_s: number; bytes_per_s: number; times: MeasuredTime[] };
type MachineTable = { datasheets: Datasheet[]; measured: MeasuredMachine[] };

/** What the reader has chosen. */
type VariantState = {
  model: string;
  sizes: Sizes;
  layout: string;
  visibility: string;
  projections: boolean;
  head: number;
  token: number;
  machines: string[];
  rows: number;
  columns: number;
  order: "queries" | "keys";
  step: number;
};

/** Every quantity by its name, and the two intensities in FLOP per byte. */
type Prices = Record<string, number>;

/** What the component of the page is handed. */
type VariantData = {
  table: VariantTable;
  example: Example;
  machines: MachineTable;
  palettes: Record<"light" | "dark", { weights: string[]; numbers: string[] }>;
};
