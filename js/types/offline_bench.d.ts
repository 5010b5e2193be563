// Types of the bench in an offline file; requests, cases and results are those of attnpanel/bench/run/records.py.

type DType = "float32" | "float16";

interface BenchRequest {
  batch: number;
  heads: number;
  kv_heads: number;
  query_len: number;
  key_len: number;
  head_dim: number;
  value_dim: number;
  dtype: DType;
  device: string;
  mask: string;
  align: string;
  pad_lens: number[] | null;
  window: number | null;
  bias: boolean;
  scale: number | null;
  temperature: number;
  mask_options: [string, number | number[]][];
  direction: string;
}

interface BenchCase {
  request: BenchRequest;
  kind: string;
  seed: number;
}

/** A case in the file, with what its reference must give. */
interface ListedCase {
  name: string;
  case: BenchCase;
  /** CRC-32 of the inputs */
  digest: number;
  /** float64 outputs of Python's reference, by their index */
  samples: [number, number][];
  /** operations and bytes that a call takes at least */
  flops: number;
  bytes: number;
}

/** Arrays of a call; float16 numbers are held in 32 bits. The mask is T*S, or that for each batch entry. */
interface BenchInputs {
  query: Float32Array;
  key: Float32Array;
  value: Float32Array;
  mask: Uint8Array | null;
  bias: Float32Array | null;
}

interface BenchResult {
  output: Float32Array;
  logsumexp: Float32Array;
}

/** A call that was prepared with its inputs. `start` begins it, and `read` gives its result once it ended. */
interface BenchCall {
  start(): void;
  read(): Promise<BenchResult>;
  release(): void;
  /** seconds of one more call by the device's own clock, if it has one */
  deviceSeconds?(): Promise<number | null>;
}

interface BenchImplementation {
  name: string;
  device: string;
  /** contents of keys hidden from every query that reach its output */
  leaks: string[];
  /** reasons why it can't compute a request; none where it can */
  unsupported(request: BenchRequest): string[];
  prepare(request: BenchRequest, inputs: BenchInputs): BenchCall;
  /** waits until every call that was started has ended; null where `start` computes */
  finish: ((last: BenchCall) => Promise<void>) | null;
  /** does something, and throws what the device reports of it */
  guard<R>(action: () => Promise<R>): Promise<R>;
}

interface BenchCheck {
  name: string;
  verdict: "pass" | "fail" | "unsupported" | "error";
  detail: string;
}

interface BenchLimits {
  device: string;
  dtype: DType;
  threads: number;
  gemm_flops_per_s: number[];
  copy_bytes_per_s: number[];
  datasheet: string | null;
  gemm_yardstick_s: number[];
  steps: { bytes: number; bytes_per_s: number; per_yardstick: number | null }[];
}

interface BenchAgreement {
  implementation: string;
  case: string;
  verdict: "pass" | "fail" | "unsupported" | "error";
  basis: "computed";
  reasons: string[];
  checks: BenchCheck[];
  max_ratio: number | null;
  median_ratio: number | null;
  worst: number[] | null;
  mean_signed_error: number | null;
  max_abs_error: number | null;
  relative_frobenius: number | null;
  nonfinite_mismatches: number | null;
  grade: null;
}

interface BenchTiming {
  implementation: string;
  case: string;
  threads: number;
  status: string;
  reasons: string[];
  clock: "browser";
  compile_s: number | null;
  warmup_s: number[];
  wall_s: number[];
  cpu_s: number[];
  rounds: number[];
  waited_s: number[];
  yardstick_s: number[];
  copy_yardstick_s: number[];
  calls_per_sample: number;
  peak_bytes: null;
  page_faults: number[];
  processes: number[];
  prepare_s: null;
  judged: number;
}

/** What the file holds beside its code. */
interface OfflineBench {
  schema: string;
  environment: Record<string, any>;
  sources: string;
  masks: MaskTable;
  shader: string;
  certified: ListedCase[];
  timed: ListedCase[];
}

interface BenchRun {
  schema: string;
  preset: string;
  environment: Record<string, any>;
  cases: BenchCase[];
  implementations: string[];
  agreements: BenchAgreement[];
  timings: BenchTiming[];
  limits: BenchLimits[];
  machine: Record<string, string>;
  finished: boolean;
  gradients: [];
}

// Which TypeScript's DOM lacks.
declare const GPUBufferUsage: Record<"MAP_READ" | "COPY_SRC" | "COPY_DST" | "STORAGE" | "UNIFORM" | "QUERY_RESOLVE", number>;
declare const GPUMapMode: Record<"READ", number>;
