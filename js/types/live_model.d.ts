// Types of a model in an offline file: attnpanel/models/live_model describes it, js/live_model runs it.

/** A tensor in the bytes of a model; `at` is a multiple of 16. */
interface StoredTensor {
  name: string;
  dtype: "float16" | "float32";
  shape: number[];
  at: number;
}

/** How a text becomes ids: BERT's WordPiece. */
interface WordPieceSettings {
  kind: "wordpiece";
  /** pieces by id; "" for one that no text gives */
  vocabulary: string[];
  unknown: string;
  /** the mark of a piece that goes on with a word */
  prefix: string;
  /** names of ids that are shown otherwise than the piece is written */
  shown: Record<string, string>;
  /** a word of more letters is unknown */
  longest: number;
  lowercase: boolean;
  stripAccents: boolean;
  /** tokens that are taken from a text as they stand, and their ids */
  added: Record<string, number>;
  /** ids before and after those of the text */
  before: number[];
  after: number[];
}

/** A model without its weights: attnpanel.models.live_model.StoredModel.description. */
interface ModelDescription {
  schema: string;
  name: string;
  family: string;
  weights: number;
  bytes: number;
  layers: number;
  heads: number;
  headDim: number;
  width: number;
  inner: number;
  activation: string;
  epsilon: number;
  /** the most tokens it reads */
  limit: number;
  /** the position of the first token */
  firstPosition: number;
  tensors: StoredTensor[];
  /** first and last of each run of ids that no text can give, whose embeddings are not stored */
  withoutEmbedding: [number, number][];
  tokenizer: WordPieceSettings;
  /** of the stored weights, on the report's own prompt */
  error: { weights: number; rows: number; sameLargest: number };
  /** the report's own prompt as text; "" if its tokens give none */
  prompt: string;
}

/** One of the lab's models without its weights: attnpanel.training.live_weights.describe_model. */
interface DecoderDescription {
  layers: number;
  /** 0 for the baseline without attention */
  heads: number;
  headDim: number;
  width: number;
  epsilon: number;
  /** the most tokens it reads */
  limit: number;
  tensors: StoredTensor[];
  bytes: number;
  withoutEmbedding: [number, number][];
}

/** A matrix of weights as a kernel keeps it. */
type StoredMatrix = { count: number; depth: number };

/** Who computes a transformer's layers. */
interface LayerKernel extends AttentionKernel {
  name: string;
  /** Keeps a matrix of shape (count, depth), given in half precision. */
  keep(halves: Uint16Array, count: number, depth: number): StoredMatrix;
  /** left @ matrix.T, of shape (rows, count), where left is of shape (rows, depth). */
  linear(left: Float32Array, matrix: StoredMatrix, rows: number): Float32Array;
  /** x * Phi(x), in place. */
  gelu(numbers: Float32Array): void;
}

/** What one layer of a run holds, head by head: heads*T*headDim numbers each. */
type LayerStates = { query: Float32Array; key: Float32Array; value: Float32Array };

/** The Worker's answer to a text. */
interface LiveAnswer {
  tokens: string[];
  /** by layer, as for `receive` of a Call */
  layers: ArrayBuffer[];
  ms: number;
}
