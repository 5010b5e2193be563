import { LiveWriting } from "./live_writing.js";

// The card in which a model on the server writes on: sends a reader's choices to Python, which sends each token.

/**
 * What Python says; `begin`, `written`, `end` and `shown` are the text's number.
 *
 * @typedef {{clear?: true, begin?: number, text: string, choices: ServedChoices, written?: number, tokens: any[], end?: number, ended: boolean,
 *   shown?: number, selects: boolean}} Said
 * @typedef {{count: number, temperature: number, top_k: number, seed: number}} ServedChoices
 * @typedef {import("./live_writing.js").WrittenAnswer} WrittenAnswer
 */

class ServedWriting {
  /** number of the text that is written, or was written last; 0 for none */
  number = 0;
  /** @type {(answer: ?WrittenAnswer) => void} */
  settle = () => {};
  /** @type {(token: LiveToken) => void} */
  onToken = () => {};

  /** @param {ComponentModel<import("./live_writing.js").LiveWritingParameters>} model */
  constructor(model) {
    this.model = model;
    this.writing = new LiveWriting(model, {
      start: ({ count, temperature, topK, seed }) => model.send_msg({ count, temperature, top_k: topK, seed }),
      stop: () => model.send_msg({ stop: true }),
    });
    model.on("next_tokens", () => this.writing.offer());
    model.on("msg:custom", (said) => this.hear(said));
  }

  /** @param {Said} said */
  hear({ clear, begin, text, choices, written, tokens, end, ended, shown, selects }) {
    if (clear) this.forget();
    else if (begin !== undefined) this.begin(begin, text, choices);
    else if (written === this.number) for (const token of tokens) this.onToken(token);
    else if (end === this.number) this.settle({ tokens, ended });
    else if (shown === this.number) this.writing.arrive(selects);
  }

  forget() {
    this.number = 0;
    this.settle(null);
    this.writing.clear();
  }

  /** @param {number} number @param {string} text @param {ServedChoices} choices */
  begin(number, text, { top_k: topK, ...others }) {
    this.forget();
    this.number = number;
    const all = { ...others, topK };
    this.writing.panel.choices = all;
    this.writing.write(this, text, "", all);
  }

  /**
   * Waits for what Python says of the text; as `write` of LiveModel.
   *
   * @param {string} _text
   * @param {string} _without
   * @param {WritingChoices} _choices
   * @param {(token: LiveToken) => void} onToken
   * @returns {Promise<?WrittenAnswer>}
   */
  write(_text, _without, _choices, onToken) {
    this.onToken = onToken;
    return new Promise((resolve) => {
      this.settle = resolve;
    });
  }
}

/** @param {Props<import("./live_writing.js").LiveWritingParameters>} props */
export function render({ model }) {
  const { writing } = new ServedWriting(model);
  model.on("after_render", () => model.send_msg({ connected: true }));
  return writing.root;
}
