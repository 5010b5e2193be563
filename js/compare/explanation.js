import { element } from "../components/dom.js";

// A text field for the reader's explanation. It is sent to Python after a pause and stored in the browser by subject.
const KEEP_WAIT_MS = 250;
const MAX_LETTERS = 4000;

/** @param {Props<{ text: string, label: string, placeholder: string, subject: string }>} props */
export function render({ model }) {
  const field = element("textarea", "attn-note-field attn-explanation-field");
  field.rows = 5;
  field.maxLength = MAX_LETTERS;
  field.setAttribute("aria-label", model.label);
  const key = () => `attnpanel:words:${model.subject}`;
  const kept = () => {
    try {
      return window.localStorage.getItem(key()) ?? "";
    } catch {
      return ""; // storage may be unavailable
    }
  };
  const keep = () => {
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
    field.value = kept() || "";
    model.text = field.value;
  };
  model.on(["placeholder", "label"], show);
  model.on("subject", open);
  show();
  open();
  return field;
}
