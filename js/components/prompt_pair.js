import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { unknownWords } from "./unknown_tokens.js";
import { LiveModel } from "../live_model/page_side.js";

// The box to type two texts in, which the model in the file compares. What it computes goes to the driver as two traces.

/**
 * @typedef {Dispatching<{name_of_model: string, about: string, prompts: string[], limit: number,
 *   wanted: {prompts?: ?string[], address?: string, number?: number}}>} PromptPairParameters
 */

const SIDES = ["A", "B"];

class PromptPair {
  live = new LiveModel();
  ready = false;
  /** a link's texts, or a reader's, until the model is ready @type {?{prompts: string[], address: string}} */
  pending = null;
  root = element("form", "attn-prompt-form");
  fields = SIDES.map(() => element("textarea", "attn-prompt-field"));
  button = element("button", "attn-plain-button attn-strong", "Compare");
  back = element("button", "attn-link-button", "Back to the file’s own texts");
  status = element("p", "attn-caption attn-prompt-status");
  said = element("span");

  /** @param {ComponentModel<PromptPairParameters>} model */
  constructor(model) {
    this.model = model;
    const heading = element("h2", "attn-caption", "Type two texts ");
    heading.append(element("small", "", `at most ${model.limit} tokens each · ${model.name_of_model} runs in this page: no server, no network`));
    const line = element("div", "attn-prompt-line");
    this.fields.forEach((field, side) => {
      Object.assign(field, { rows: 2, value: model.prompts[side], maxLength: 20_000, spellcheck: false });
      const label = element("label", `attn-prompt-side attn-side-${SIDES[side].toLowerCase()}`, SIDES[side]);
      field.setAttribute("aria-label", `Text ${SIDES[side]}`);
      field.addEventListener("keydown", (event) => {
        event.stopPropagation(); // the page's keys are letters
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        this.submit(this.typed, "");
      });
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
    });
  }

  get typed() {
    return this.fields.map(({ value }) => value);
  }

  connect() {
    this.say(`Loading ${this.model.name_of_model} from this file …`);
    this.model.on("wanted", () => this.take());
    this.model.on("remove", () => this.live.stop());
    this.take();
    this.live.open().then(
      () => {
        this.ready = true;
        this.say("Ready.");
        if (this.pending) this.submit(this.pending.prompts, this.pending.address);
      },
      (error) => {
        this.button.disabled = true;
        this.refuse(`The model in this file can't be run here: ${error.message}.`);
      },
    );
  }

  /** Runs the texts of a link. */
  take() {
    const { prompts, address = "" } = this.model.wanted;
    if (prompts === undefined) return;
    if (prompts === null) this.showOwn();
    else this.submit(this.fill(prompts), address);
  }

  /** @param {string[]} prompts */
  fill(prompts) {
    this.fields.forEach((field, side) => (field.value = prompts[side]));
    return prompts;
  }

  showOwn() {
    this.fill(this.model.prompts);
    this.say("");
    this.back.hidden = true;
  }

  /** @param {string[]} prompts @param {string} address */
  submit(prompts, address) {
    const empty = prompts.findIndex((text) => text.trim() === "");
    this.pending = { prompts, address };
    if (empty >= 0) this.refuse(`Text ${SIDES[empty]} must hold a character other than white space.`);
    else if (this.ready) this.run(prompts, address);
    else if (!this.button.disabled) this.say(`Loading ${this.model.name_of_model} from this file; your texts are next …`);
  }

  /** @param {string[]} prompts @param {string} address */
  async run(prompts, address) {
    this.pending = null;
    this.say("Running …");
    const answers = [];
    for (const [side, text] of prompts.entries()) {
      try {
        const answer = await this.live.run(text, "");
        if (answer === null) return; // newer ones are on their way
        answers.push(answer);
      } catch (error) {
        this.refuse(`Text ${SIDES[side]}: ${/** @type {Error} */ (error).message}. What was shown before is still here.`);
        return;
      }
    }
    dispatch(this.model, { typed: { prompts, answers, address } });
    const counts = answers.map(({ tokens }) => tokens.length).join(" and ");
    const ms = answers.reduce((sum, answer) => sum + answer.ms, 0);
    this.say(`${counts} tokens, computed in ${ms.toFixed(0)} ms.${unknownWords(answers.reduce((sum, { unknown }) => sum + unknown, 0))}`);
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
  }
}

/** @param {Props<PromptPairParameters>} props */
export function render({ model }) {
  const box = new PromptPair(model);
  model.on("after_render", () => requestAnimationFrame(() => box.connect()));
  return box.root;
}
