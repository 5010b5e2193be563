import { t } from "../core/translate.js";
import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { textField } from "./text_field.js";
import { unknownWords } from "./unknown_tokens.js";
import { LiveModel } from "../live_model/page_side.js";

// The box to type two texts in, which the model in the file compares. What it computes goes to the driver as two traces.

/**
 * @typedef {Dispatching<{name_of_model: string, about: string, prompts: string[], limit: number,
 *   wanted: {prompts?: ?string[], lacks?: ?string, address?: string, number?: number}}>} PromptPairParameters `lacks` is the
 *   side that a link has no text of, where it has the other's
 */

const SIDES = ["A", "B"];

class PromptPair {
  live = new LiveModel();
  ready = false;
  /** a link's texts, or a reader's, until the model is ready @type {?{prompts: string[], address: string}} */
  pending = null;
  /** what is run, or was run last @type {?string[]} */
  running = null;
  root = element("form", "attn-prompt-form");
  button = element("button", "attn-plain-button attn-strong", t("Compare"));
  back = element("button", "attn-link-button", t("Back to the file’s own texts"));
  status = element("p", "attn-caption attn-prompt-status");
  said = element("span");

  /** @param {ComponentModel<PromptPairParameters>} model */
  constructor(model) {
    this.model = model;
    const heading = element("h2", "attn-caption", `${t("Type two texts")} `);
    heading.append(element("small", "", t("at most {limit} tokens each · {model} runs in this page: no server, no network", { limit: model.limit, model: model.name_of_model })));
    const line = element("div", "attn-prompt-line");
    this.fields = SIDES.map((side, at) => textField(t("Text {side}", { side }), model.prompts[at], () => this.submit(this.typed, "")));
    this.fields.forEach((field, side) => {
      const label = element("label", `attn-prompt-side attn-side-${SIDES[side].toLowerCase()}`, SIDES[side]);
      label.append(field);
      line.append(label);
    });
    line.append(this.button);
    this.button.type = "submit";
    this.back.hidden = true;
    this.said.setAttribute("role", "status");
    this.status.append(this.said, " ", this.back);
    this.root.append(heading, line, this.status, element("p", "attn-caption muted", model.about));
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit(this.typed, "");
    });
    this.back.addEventListener("click", () => {
      dispatch(this.model, { typed: null });
      this.showOwn();
      this.fields[0].focus(); // the button is hidden
    });
  }

  get typed() {
    return this.fields.map(({ value }) => value);
  }

  connect() {
    this.say(t("Loading {model} from this file …", { model: this.model.name_of_model }));
    this.model.on("wanted", () => this.take());
    this.model.on("remove", () => this.live.stop());
    this.take();
    this.live.open().then(
      () => {
        this.ready = true;
        this.say(t("Ready."));
        if (this.pending) this.submit(this.pending.prompts, this.pending.address);
      },
      (error) => {
        this.button.disabled = true;
        this.refuse(t("The model in this file can't be run here: {reason}.", { reason: error.message }));
      },
    );
  }

  /** Runs the texts of a link. */
  take() {
    const { prompts, lacks = null, address = "" } = this.model.wanted;
    if (prompts === undefined) return;
    if (prompts !== null) this.submit(this.fill(prompts), address);
    else {
      this.showOwn();
      if (lacks !== null) this.refuse(t("The link has no text {side}, so that the file’s own texts are shown.", { side: lacks.toUpperCase() }));
    }
  }

  /** @param {string[]} prompts */
  fill(prompts) {
    this.fields.forEach((field, side) => (field.value = prompts[side]));
    return prompts;
  }

  showOwn() {
    this.pending = this.running = null;
    this.fill(this.model.prompts);
    this.say("");
    this.back.hidden = true;
  }

  /** @param {string[]} prompts @param {string} address */
  submit(prompts, address) {
    const empty = prompts.findIndex((text) => text.trim() === "");
    this.pending = { prompts, address };
    if (empty >= 0) this.refuse(t("Text {side} must hold a character other than white space.", { side: SIDES[empty] }));
    else if (this.ready) this.run(prompts, address);
    else if (!this.button.disabled) this.say(t("Loading {model} from this file; your texts are next …", { model: this.model.name_of_model }));
  }

  /** @param {string[]} prompts @param {string} address */
  async run(prompts, address) {
    this.pending = null;
    this.running = prompts;
    this.say(t("Running …"));
    const answers = [];
    for (const [side, text] of prompts.entries()) {
      try {
        const answer = await this.live.run(text, "");
        if (answer === null || this.running !== prompts) return; // newer ones are on their way, or the own texts are back
        answers.push(answer);
      } catch (error) {
        if (this.running !== prompts) return;
        const { message } = /** @type {Error} */ (error);
        this.refuse(`${t("Text {side}", { side: SIDES[side] })}: ${message}. ${t("What was shown before is still here.")}`);
        return;
      }
    }
    dispatch(this.model, { typed: { prompts, answers, address } });
    const [a, b] = answers.map(({ tokens }) => tokens.length);
    const ms = answers.reduce((sum, answer) => sum + answer.ms, 0);
    this.say(`${t("{a} and {b} tokens, computed in {ms} ms.", { a, b, ms: ms.toFixed(0) })}${unknownWords(answers.reduce((sum, { unknown }) => sum + unknown, 0))}`);
    this.back.hidden = false;
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
    dispatch(this.model, { typed_refused: true });
  }
}

/** @param {Props<PromptPairParameters>} props */
export function render({ model }) {
  const box = new PromptPair(model);
  model.on("after_render", () => requestAnimationFrame(() => box.connect()));
  return box.root;
}
