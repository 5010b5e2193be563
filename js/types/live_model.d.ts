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
  /** ids that no word is made of: their tokens are taken from a text as they stand, or not at all */
  addedOnly: number[];
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

/** How a text becomes ids: byte-pair encoding, of bytes or of characters. */
interface BytePairSettings {
  kind: "byte-pairs";
  /** tokens by id, as the tokenizer writes them */
  vocabulary: string[];
  /** as of WordPiece */
  addedOnly: number[];
  /** pairs of ids that are joined, those learned first before others */
  merges: number[];
  /** whether every byte is a letter; else characters, and bytes for those that the vocabulary lacks */
  byteLevel: boolean;
  /** whether a word of the vocabulary is taken whole */
  ignoreMerges: boolean;
  /** what is done with a text first: names in js/live_model/text_pieces.js, and settings */
  steps: [string, any][];
  shown: Record<string, string>;
  /** tokens that are taken from a text as they stand, and those taken from what is left then */
  added: Record<string, number>;
  addedLater: Record<string, number>;
  /** those of them that take the white space before them */
  stripping: string[];
  before: number[];
  after: number[];
}

type TokenizerSettings = WordPieceSettings | BytePairSettings;

interface Tokenizer {
  /** the id of a token that stands for all that the vocabulary lacks; -1 for none */
  unknown: number;
  /** Ids of a text, and the part of it that each came from; no parts where the tokenizer does not say. */
  read(text: string): { ids: number[]; origins: string[] };
  /** What a token is called on the page. */
  name(id: number): string;
}

/** What a forward pass needs to know beside the tensors. */
interface TransformerDescription {
  layers: number;
  /** 0 for a model without attention */
  heads: number;
  /** heads of keys and values, each for as many of queries */
  kvHeads: number;
  headDim: number;
  width: number;
  /** whether a token sees none behind it */
  causal: boolean;
  /** whether what a part of a layer reads is normalised, and not its sum */
  normFirst: boolean;
  /** "rms" takes no mean off */
  norm: "layer" | "rms";
  activation: string;
  epsilon: number;
  /** the most tokens it reads */
  limit: number;
  /** the token that has no position of its own; null where all have */
  padding: number | null;
  tensors: StoredTensor[];
  /** first and last of each run of ids that no text can give, whose embeddings are not stored */
  withoutEmbedding: [number, number][];
}

/** A model without its weights: attnpanel.models.live_model.StoredModel.description. */
interface ModelDescription extends TransformerDescription {
  schema: string;
  name: string;
  family: string;
  weights: number;
  bytes: number;
  tokenizer: TokenizerSettings;
  /** how many next tokens it gives scores of; 0 where it was not made for that */
  nextTokens: number;
  /** tokens that end a text */
  ends: number[];
  /** of the stored weights, on the report's own prompt */
  error: { weights: number; rows: number; sameLargest: number; nextToken: number | null };
  /** the report's own prompt as text; "" if its tokens give none */
  prompt: string;
}

/** One of the lab's models without its weights: attnpanel.training.live_weights.describe_model. */
type DecoderDescription = Pick<
  TransformerDescription,
  "layers" | "heads" | "headDim" | "width" | "epsilon" | "limit" | "tensors" | "withoutEmbedding"
> & { bytes: number };

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

/** What one layer of a run holds, head by head: heads*T*headDim numbers, or kvHeads*T*headDim. */
type LayerStates = { query: Float32Array; key: Float32Array; value: Float32Array };

/** How a text is written on: how many tokens, and how each is drawn. */
type WritingChoices = { count: number; temperature: number; topK: number; seed: number };

/** A token as it is written, with the likeliest ones at its place. */
interface LiveToken {
  token: string;
  candidates: { name: string; chance: number; drawn: boolean }[];
  /** tokens of the text that is continued */
  prompt: number;
}

/** What changed in a model's run, with the names of next tokens: knock_out.js has the numbers. */
interface ModelChange {
  heads: number[][];
  tokens: number[];
  whole: number | null;
  expected: { name: string; before: number; after: number }[][];
}

/** The Worker's answer to a text. */
interface LiveAnswer {
  tokens: string[];
  /** the part of the text that each came from; none where the tokenizer does not say */
  origins: string[];
  causal: boolean;
  /** by layer, as for `receive` of a Call */
  layers: ArrayBuffer[];
  ms: number;
}
