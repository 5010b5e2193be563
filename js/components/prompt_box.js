import { t } from "../core/translate.js";
import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { LiveModel } from "../live_model/page_side.js";
import { KnockOut } from "./knock_out.js";
import { LiveWriting } from "./live_writing.js";
import { textField } from "./text_field.js";
import { unknownWords } from "./unknown_tokens.js";

// The box in which a reader types a text for the model in the file. What the model computes goes to the driver as a trace.

/**
 * @typedef {import("./live_writing.js").LiveWritingParameters & {about: string, prompt: string,
 *   wanted: {prompt?: ?string, write?: ?string, without?: ?string, address?: string, number?: number},
 *   place: Partial<import("./knock_out.js").Place>}} PromptBoxParameters
 * @typedef {{question: Question, trace: string, parameters: Record<string, string>, change: ?ModelChange, after: boolean, answer: import("../live_model/page_side.js").TypedTrace,
 *   numbers: Map<boolean, Record<string, ?number>[][]>}} Shown what was run last; the numbers of its heads with and without all
 * @typedef {{text: string, address: string, choices: ?WritingChoices}} Question a text, the choices to open with, as query
 *   parameters, and how it is written on, if it is
 */

class PromptBox {
  live = new LiveModel();
  ready = false;
  /** number of the trace that was made last */
  made = 0;
  /** @type {?Question} what is to be run once the model is ready */
  pending = null;
  /** @type {?Question} what is run, or was run last */
  asked = null;
  /** @type {?Shown} */
  current = null;
  /** what was written on before the run at hand @type {?import("./live_writing.js").Written} */
  written = null;
  root = element("div");
  form = element("form", "attn-prompt-form");
  button = element("button", "attn-plain-button attn-strong", t("Show its attention"));
  back = element("button", "attn-link-button", t("Back to the report’s own prompt"));
  status = element("p", "attn-caption attn-prompt-status");
  said = element("span");

  /** @param {ComponentModel<PromptBoxParameters>} model */
  constructor(model) {
    this.model = model;
    const heading = element("h2", "attn-caption", `${t("Type your own text")} `);
    heading.append(element("small", "", t("at most {count} tokens · {model} runs in this page: no server, no network", { count: model.limit, model: model.name_of_model })));
    this.field = textField(t("Your own text"), model.prompt, () => this.submit({ text: this.field.value, address: "", choices: null }));
    this.button.type = "submit";
    const line = element("div", "attn-prompt-line");
    line.append(this.field, this.button);
    this.said.setAttribute("role", "status");
    this.back.hidden = true;
    this.status.append(this.said, " ", this.back);
    this.form.append(heading, line);
    this.writing = new LiveWriting(model, {
      start: (choices, address) => this.submit({ text: this.field.value, address, choices }),
      stop: () => this.live.stopWriting(),
    });
    this.knockOut = new KnockOut(model, {
      run: () => this.submit({ text: this.asked?.text ?? this.field.value, address: "", choices: this.asked?.choices ?? null }),
      show: (after) => this.showRun(after),
    });
    this.root.append(this.form, this.status, this.knockOut.root, this.writing.root, element("p", "attn-caption muted", model.about));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit({ text: this.field.value, address: "", choices: null });
    });
    this.back.addEventListener("click", () => this.goBack());
  }

  connect() {
    this.say(t("Loading {model} from this file …", { model: this.model.name_of_model }));
    this.model.on("wanted", () => this.take());
    this.model.on("remove", () => this.live.stop());
    this.take();
    this.live.open().then(
      (kernel) => {
        this.ready = true;
        performance.mark(`attnpanel-model ${kernel}`); // for who looks at a page's timeline
        this.say(t("Ready."));
        if (this.pending) this.submit(this.pending);
      },
      (error) => {
        this.button.disabled = true;
        this.refuse(t("The model in this file can't be run here: {reason}.", { reason: error.message }));
      },
    );
  }

  /** Runs the prompt of a link. */
  take() {
    const { prompt, write = null, without, address = "" } = this.model.wanted;
    if (prompt === undefined) return;
    this.field.value = prompt ?? this.model.prompt;
    this.knockOut.address = prompt === null ? "" : (without ?? "");
    if (prompt === null) this.showOwn();
    else if (write !== null && this.model.next_tokens > 0) this.writing.open(write, address);
    else if (write !== null) this.refuse(t("The model in this file does not write on."));
    else this.submit({ text: prompt, address, choices: null });
  }

  goBack() {
    this.field.value = this.model.prompt;
    this.knockOut.address = "";
    dispatch(this.model, { typed: null });
    this.showOwn();
    this.field.focus();
  }

  showOwn() {
    this.pending = this.asked = this.current = this.written = null;
    this.writing.clear();
    this.shown("", false);
  }

  /** @param {Question} question */
  submit(question) {
    if (question.text.trim() === "") {
      this.refuse(t("A text must hold a character other than white space."));
      return;
    }
    this.pending = question;
    if (this.button.disabled) return;
    if (this.ready) this.run(question);
    else this.say(t("Loading {model} from this file; your text is next …", { model: this.model.name_of_model }));
  }

  /** @param {Question} question */
  async run(question) {
    const { text, address, choices } = question;
    this.pending = null;
    this.asked = question;
    this.say(t("Running …"));
    this.written ??= this.writing.written.length > 0 ? this.writing.keep() : null;
    this.writing.clear();
    this.knockOut.clear();
    const without = this.knockOut.address;
    try {
      const answer = choices ? await this.writing.write(this.live, text, without, choices) : await this.live.run(text, without);
      if (answer === null || this.asked !== question) return; // a newer one is on its way, or the own text is back
      const { tokens, unknown, ms } = answer;
      const parameters = { ...(this.writing.written.length > 0 ? { write: this.writing.address } : {}), ...(without ? { without } : {}) };
      /** @type {Shown} */
      const current = { question, trace: `typed ${++this.made}`, parameters, change: null, after: true, answer, numbers: new Map() };
      this.current = current;
      this.written = null;
      this.showTyped(current, true, address);
      const took = ms < 9.5 ? ms.toFixed(1) : ms.toFixed(0);
      const count = tokens.length === 1 ? t("1 token, computed in {ms} ms.", { ms: took }) : t("{count} tokens, computed in {ms} ms.", { count: tokens.length, ms: took });
      this.shown(count + unknownWords(unknown), true);
      if (choices) this.writing.arrive(!new URLSearchParams(address).has("token"));
      if (without) {
        const change = await this.live.change(answer.run);
        if (change === null || this.current !== current) return;
        this.current.change = change;
        this.knockOut.arrive(change, tokens);
      }
      await this.showNumbers(current, true);
    } catch (error) {
      if (this.asked !== question) return;
      this.asked = this.current?.question ?? null;
      const { message } = /** @type {Error} */ (error);
      if (this.written) this.writing.restore(this.written);
      else this.writing.clear();
      this.written = null;
      this.refuse(`${message[0].toUpperCase()}${message.slice(1)}. ${t("What was shown before is still here.")}`);
    }
  }

  /**
   * Shows one of the two runs of a text: with the heads that are knocked out, or with all.
   *
   * @param {boolean} after
   */
  showRun(after) {
    const { current } = this;
    if (current === null) return;
    current.after = after;
    this.showTyped(current, after, "");
    this.showNumbers(current, after).catch((/** @type {Error} */ { message }) => this.refuse(t("The numbers of all heads could not be computed: {error}.", { error: message })));
  }

  /** @param {Shown} shown @param {boolean} after @param {string} address */
  showTyped({ question, trace, parameters: made, answer }, after, address) {
    const { tokens, origins, causal, layers, before } = answer;
    const { without, ...rest } = made;
    // With all heads, other tokens would be written.
    const parameters = { prompt: question.text, ...rest, ...(without && (after || rest.write) ? { without } : {}) };
    const content = (after ? layers : (before ?? layers)).map((layer) => layer.slice(0)); // the explorer may hand them to a Worker
    dispatch(this.model, { typed: { trace: nameOf(trace, after), parameters, tokens, origins, causal, layers: content, address } });
  }

  /** @param {Shown} shown @param {boolean} after */
  async showNumbers(shown, after) {
    const values = shown.numbers.get(after) ?? (await this.live.numbers(shown.answer.run, !after));
    if (values === null || shown !== this.current) return;
    shown.numbers.set(after, values);
    dispatch(this.model, { typed_numbers: { trace: nameOf(shown.trace, after), values } });
  }

  /** @param {string} text */
  say(text) {
    this.status.classList.remove("error");
    this.said.textContent = text;
  }

  /** @param {string} text */
  refuse(text) {
    this.status.classList.add("error");
    this.said.textContent = text;
    if (this.asked === (this.current?.question ?? null)) this.keepHeads();
    dispatch(this.model, { typed_refused: true });
  }

  /** Has the heads of what is shown. */
  keepHeads() {
    const { current, knockOut } = this;
    const without = current?.parameters.without ?? "";
    if (without === knockOut.address && knockOut.found === (current?.change ?? null)) return;
    knockOut.address = without;
    if (!current?.change) return;
    knockOut.arrive(current.change, current.answer.tokens);
    knockOut.mark(current.after);
  }

  /** @param {string} text @param {boolean} typed */
  shown(text, typed) {
    this.say(text);
    this.back.hidden = !typed;
  }
}

/** @param {string} trace @param {boolean} after */
const nameOf = (trace, after) => (after ? trace : `${trace}, all heads`);

/** @param {Props<PromptBoxParameters>} props */
export function render({ model }) {
  const box = new PromptBox(model);
  model.on("after_render", () => requestAnimationFrame(() => box.connect()));
  return box.root;
}
