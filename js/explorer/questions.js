// Questions to the Worker and to Python, which compute what the page's own thread should not or cannot.

// Choices that an answer does not depend on: if only these change, it is still valid.
const BESIDE_SELECTION = ["query_index", "pair", "color_seed", "line_heads", "lines_of_token", "line_token"];
const BESIDE_HEATMAPS = [...BESIDE_SELECTION, "dark"];
const BESIDE_NUMBERS = [...BESIDE_HEATMAPS, "viewport", "weight_scale", "skip_first"];
const BESIDE_ROW = BESIDE_NUMBERS.filter((name) => name !== "query_index");
const BESIDE_TILES = [...BESIDE_NUMBERS, "layer", "head", "aggregate"];
const ROLLED_OUT = ["trace", "layer", "batch", "query_index"];
const PAINTED = ["trace", "layer", "head", "aggregate", "batch", "color_seed"];

/**
 * Whether an answer of a kind depends on a choice.
 *
 * @type {Record<string, (name: string) => boolean>}
 */
const DEPENDS = {
  // Answered by the Worker.
  selection: otherThan(BESIDE_SELECTION),
  ahead: otherThan(BESIDE_SELECTION),
  // Answered by the Worker or Python.
  numbers: otherThan(BESIDE_NUMBERS),
  tiles: otherThan(BESIDE_TILES),
  // Answered by Python. "pointed" is the row under the pointer; it does not replace the selected one.
  matrices: otherThan(BESIDE_HEATMAPS),
  row: otherThan(BESIDE_ROW),
  pointed: otherThan(BESIDE_ROW),
  why: (name) => name === "pair" || otherThan(BESIDE_ROW)(name),
  colours: (name) => PAINTED.includes(name),
  rollout: (name) => ROLLED_OUT.includes(name),
};

/** @param {string[]} names */
function otherThan(names) {
  const excluded = new Set(names);
  return (/** @type {string} */ name) => !excluded.has(name);
}

/**
 * The choices that an answer depends on, as a cache key.
 *
 * @param {string} kind
 * @param {State} state
 * @returns {string} the same for states with the same answer
 */
export function keyOf(kind, state) {
  return JSON.stringify(Object.entries(state).filter(([name]) => DEPENDS[kind](name)));
}

/**
 * @typedef {Record<string, any>} Answer
 * @typedef {{kind: string, id: number, state: State}} Message
 * @typedef {{key: string, trace: Trace, id: number, done: boolean, answer: Promise<Answer | null | undefined>,
 *   resolve: (answer: Answer | null | undefined) => void, reject: (error: Error) => void}} Question
 */

/** Pending questions by kind; a newer question replaces an older one of its kind. */
export class Questions {
  /** @param {(message: Message, trace: Trace, layers: number[]) => void} send */
  constructor(send) {
    this.send = send;
    this.asked = 0;
    /** @type {Record<string, Question>} */
    this.waiting = {};
  }

  /**
   * @param {string} kind
   * @param {Trace} trace
   * @param {number[]} layers that the question is about
   * @param {State} state
   * @returns {Promise<Answer | null | undefined>} null if a newer question replaced it, undefined if
   *   nobody answers
   */
  ask(kind, trace, layers, state) {
    const key = keyOf(kind, state) + (kind === "tiles" ? layers : "");
    const before = this.waiting[kind];
    if (before?.key === key && before.trace === trace) return before.answer;
    before?.resolve(null);
    const question = /** @type {Question} */ ({ key, trace, id: ++this.asked, done: false });
    question.answer = new Promise((resolve, reject) => Object.assign(question, { resolve, reject }));
    this.waiting[kind] = question;
    this.send({ kind, id: question.id, state }, trace, layers);
    return question.answer;
  }

  /**
   * Resolves a question with its answer; ignores answers to replaced questions.
   *
   * @param {Answer} answer with the question's kind and id
   */
  settle({ kind, id, error, ...content }) {
    const question = this.waiting[kind];
    if (question?.id !== id) return;
    delete this.waiting[kind];
    question.done = true;
    if (error) question.reject(new Error(error));
    else question.resolve(content);
  }

  /** Resolves all questions with undefined: nobody will answer them. */
  giveUpQuestions() {
    const questions = Object.values(this.waiting);
    this.waiting = {};
    for (const question of questions) question.resolve(undefined);
  }

  /**
   * Cancels the question of a kind.
   *
   * @param {string} kind
   * @returns {boolean} whether there was one
   */
  drop(kind) {
    const question = this.waiting[kind];
    question?.resolve(null);
    delete this.waiting[kind];
    return question !== undefined;
  }
}

/** Questions to Python: see attnpanel.explorer.layer_answers. */
export class PythonQuestions extends Questions {
  /** @param {(message: object) => void} post */
  constructor(post) {
    super(({ kind, id, state }, trace, layers) => {
      post({ ask: { kind, id, state, layers, trace: trace.meta.trace } });
    });
    this.post = post;
  }

  /** @param {Answer} answer */
  settle(answer) {
    super.settle(withArrays(answer));
  }

  /** @param {string} kind */
  drop(kind) {
    const dropped = super.drop(kind);
    if (dropped) this.post({ drop: kind });
    return dropped;
  }
}

/**
 * Decodes the base64 texts in an answer, which notebooks send instead of arrays, into ArrayBuffers.
 *
 * @param {any} content
 * @returns {any}
 */
function withArrays(content) {
  if (content === null || typeof content !== "object") return content;
  if (Array.isArray(content) || content instanceof ArrayBuffer) return content;
  if ("base64" in content) return Uint8Array.from(atob(content.base64), (letter) => letter.charCodeAt(0)).buffer;
  return Object.fromEntries(Object.entries(content).map(([name, value]) => [name, withArrays(value)]));
}
