import { inEnglish, t } from "../core/translate.js";
import { element } from "../components/dom.js";
import { changeSize, readSize } from "./price.js";
import { modelNamed, startState } from "./state.js";

// The bar of choices: the model, its sizes, and which head of the example is shown.

/** Sizes beside the model; the others are listed below when asked for. A phone shows the first of these alone. */
const FIRST = ["length", "batch", "bytes"];

export class Bar {
  /**
   * @param {VariantData} data
   * @param {() => VariantState} state
   * @param {(changes: Partial<VariantState>) => void} change
   */
  constructor({ table, machines, example }, state, change) {
    this.table = table;
    this.state = state;
    this.change = change;
    this.root = element("section", "variants-bar");
    this.root.setAttribute("aria-label", t("Sizes"));
    this.model = element("select");
    this.model.append(...table.models.map(({ name, title }) => Object.assign(element("option", "", title), { value: name })));
    this.model.addEventListener("change", () => {
      const { model, sizes, layout, visibility } = startState(table, machines, example, this.model.value);
      change({ model, sizes, layout, visibility });
      this.say("");
    });
    /** @type {Map<string, HTMLInputElement | HTMLSelectElement>} */
    this.fields = new Map();
    const first = table.sizes.filter(({ name }) => FIRST.includes(name)).map((field) => this.field(field));
    this.projections = element("input");
    this.projections.type = "checkbox";
    this.projections.addEventListener("change", () => change({ projections: this.projections.checked }));
    const counted = element("label", "variants-tick", t("with projections"));
    counted.title = t("Count the products that make queries, keys and values, and the output, with their weights.");
    counted.prepend(this.projections);
    this.head = element("select");
    this.head.append(...Array.from({ length: example.heads }, (_, head) => Object.assign(element("option", "", `${head}`), { value: String(head) })));
    this.head.addEventListener("change", () => change({ head: Number(this.head.value) }));
    this.more = element("button", "attn-plain-button variants-more", t("All sizes"));
    this.more.setAttribute("aria-expanded", "false");
    this.more.addEventListener("click", () => this.open(this.rest.hidden === true));
    const line = element("div", "variants-line");
    const shownHead = labelled(t("Head of the cards"), this.head);
    for (const part of [...first.slice(1), counted, shownHead]) part.classList.add("variants-second");
    line.append(labelled(t("Model"), this.model, "variants-model"), ...first, counted, shownHead, this.more);
    this.rest = element("div", "variants-rest");
    this.rest.hidden = true;
    this.rest.append(...table.sizes.filter(({ name }) => !FIRST.includes(name)).map((field) => this.field(field)));
    this.source = element("p", "variants-note");
    this.message = element("p", "variants-message");
    this.message.setAttribute("role", "alert");
    this.root.append(line, this.rest, this.source, this.message);
  }

  /** @param {boolean} open */
  open(open) {
    this.rest.hidden = !open;
    this.root.classList.toggle("variants-open", open);
    this.more.setAttribute("aria-expanded", String(open));
  }

  /** @param {SizeField} field */
  field(field) {
    const { name, label, description } = field;
    const input = name === "bytes" ? element("select") : element("input");
    if (input instanceof HTMLSelectElement) input.append(...["1", "2", "4"].map((text) => element("option", "", text)));
    else Object.assign(input, { type: "text", inputMode: "numeric", maxLength: 24, autocomplete: "off", spellcheck: false });
    input.addEventListener("change", () => this.enter(field, input));
    this.fields.set(name, input);
    const shown = labelled(label, input);
    shown.title = description;
    return shown;
  }

  /** @param {SizeField} field @param {HTMLInputElement | HTMLSelectElement} input */
  enter(field, input) {
    const { sizes } = this.state();
    const read = readSize(field, input.value);
    const changed = "problem" in read ? read : changeSize(sizes, field.name, read.value);
    if ("problem" in changed) {
      input.value = String(sizes[field.name]);
      this.say(`${changed.problem} ${t("It stays {size}.", { size: sizes[field.name].toLocaleString("en") })}`);
      return;
    }
    this.say(changed.note);
    this.change({ sizes: changed.sizes });
  }

  /** @param {string} text */
  say(text) {
    this.message.textContent = text;
  }

  show() {
    const { model, sizes, projections, head } = this.state();
    this.model.value = model;
    this.head.value = String(head);
    this.projections.checked = projections;
    const { own, source, sizes: published } = modelNamed(this.table, model);
    for (const [name, input] of this.fields) {
      input.value = String(sizes[name]);
      const kept = own.includes(name) && sizes[name] === published[name];
      /** @type {HTMLElement} */ (input.parentElement).classList.toggle("variants-of-model", kept);
    }
    const changed = own.filter((name) => name !== "length" && sizes[name] !== published[name]);
    const labels = changed.map((name) => this.table.sizes.find((field) => field.name === name)?.label ?? "");
    const listed = labels.map((label) => (inEnglish ? label.toLowerCase() : label)).join(", ");
    const said = t("Sizes with a dot are the model's own, from {source}; the others are assumed, for variants it is not built as.", { source });
    this.source.textContent = labels.length > 0 ? `${said} ${t("Changed here: {sizes}.", { sizes: listed })}` : said;
  }
}

/**
 * A field below its label.
 *
 * @param {string} text
 * @param {HTMLElement} field
 * @param {string} [css]
 */
export function labelled(text, field, css = "") {
  const label = element("label", `variants-field ${css}`);
  label.append(element("span", "", text), field);
  return label;
}
