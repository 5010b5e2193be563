import { halfToFloat } from "../core/float16.js";

/** @param {number[]} shape */
const countOf = (shape) => shape.reduce((product, size) => product * size, 1);

/** A model's tensors by name, in its bytes. */
export class StoredWeights {
  /** @param {Pick<ModelDescription, "tensors" | "withoutEmbedding">} description @param {ArrayBuffer} buffer */
  constructor({ tensors, withoutEmbedding }, buffer) {
    this.buffer = buffer;
    this.tensors = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    this.withoutEmbedding = withoutEmbedding;
  }

  /** @param {string} name */
  has(name) {
    return this.tensors.has(name);
  }

  /** @param {string} name @returns {StoredTensor} */
  tensor(name) {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw new Error(`the model lacks its tensor ${name}`);
    return tensor;
  }

  /**
   * The bit patterns of a tensor in half precision.
   *
   * @param {string} name
   * @returns {{halves: Uint16Array, shape: number[]}}
   */
  halves(name) {
    const { shape, at } = this.tensor(name);
    return { halves: new Uint16Array(this.buffer, at, countOf(shape)), shape };
  }

  /** @param {string} name @returns {Float32Array} */
  floats(name) {
    const { dtype, shape, at } = this.tensor(name);
    if (dtype === "float16") return halfToFloat(this.halves(name).halves);
    return new Float32Array(this.buffer, at, countOf(shape));
  }

  /**
   * The embedding of a token.
   *
   * @param {number} id
   * @returns {Float32Array}
   */
  embedding(id) {
    const { halves, shape } = this.halves("words");
    const [rows, width] = shape;
    let row = id;
    for (const [first, last] of this.withoutEmbedding) {
      if (id >= first && id <= last) throw new Error(`the file holds no embedding of token ${id}`);
      if (id > last) row -= last - first + 1;
    }
    if (!Number.isInteger(row) || row < 0 || row >= rows) throw new Error(`a token must be one of the model's; got ${id}`);
    return halfToFloat(halves.slice(row * width, (row + 1) * width));
  }
}
