import { element } from "../components/dom.js";
import { MAX_LETTERS, STORED, gathered, today } from "./stored_words.js";

// A field for the reader's words: a text, a line or a date. They are sent to Python after a pause and stored in the browser
// by subject; a field without one is not stored.
const KEEP_WAIT_MS = 250;
const LINE_LETTERS = 80;

/** @param {string} kind */
function fieldOf(kind) {
  if (kind === "text") {
    const area = element("textarea", "attn-note-field attn-explanation-field");
    return Object.assign(area, { rows: 5, maxLength: MAX_LETTERS });
  }
  const line = element("input", "attn-note-field attn-line-field");
  return Object.assign(line, kind === "date" ? { type: "date" } : { maxLength: LINE_LETTERS });
}

/** @param {Props<{ text: string, label: string, placeholder: string, subject: string, kind: string, gathers: string, kept: string }>} props */
export function render({ model }) {
  const field = fieldOf(model.kind);
  field.setAttribute("aria-label", model.label);
  const key = () => STORED + model.subject;
  const kept = () => {
    if (model.subject === "") return "";
    try {
      return window.localStorage.getItem(key()) ?? "";
    } catch {
      return ""; // storage may be unavailable
    }
  };
  const keep = () => {
    if (model.subject === "") return;
    try {
      window.localStorage.setItem(key(), field.value);
    } catch {
      // without storage the text lasts as long as the page
    }
  };
  /** @type {?ReturnType<typeof setTimeout>} */
  let waiting = null;
  const take = () => {
    clearTimeout(waiting ?? undefined);
    waiting = null;
    model.text = field.value;
    keep();
  };
  field.addEventListener("input", () => {
    clearTimeout(waiting ?? undefined);
    waiting = setTimeout(take, KEEP_WAIT_MS);
  });
  field.addEventListener("change", take);
  const show = () => {
    field.placeholder = model.placeholder;
    field.setAttribute("aria-label", model.label);
  };
  const open = () => {
    if (waiting !== null) return;
    field.value = kept() || (model.kind === "date" ? today() : "");
    model.text = field.value;
    if (model.gathers === "") return;
    try {
      model.kept = JSON.stringify(gathered(window.localStorage, model.gathers));
    } catch {
      // without storage there is only what Python has been sent
    }
  };
  model.on(["placeholder", "label"], show);
  model.on("subject", open);
  show();
  open();
  return field;
}
