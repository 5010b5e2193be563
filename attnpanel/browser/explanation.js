// A reader's own words on what they see. Python hears them when they pause; the browser keeps them by subject.
const KEEP_WAIT_MS = 250;
const MOST_LETTERS = 4000;

export function render({ model }) {
  const field = document.createElement("textarea");
  field.className = "attn-note-field attn-explanation-field";
  field.rows = 5;
  field.maxLength = MOST_LETTERS;
  field.setAttribute("aria-label", model.label);
  const key = () => `attnpanel:words:${model.subject}`;
  const kept = () => {
    try {
      return window.localStorage.getItem(key()) ?? "";
    } catch {
      return ""; // a browser may refuse storage
    }
  };
  const keep = () => {
    try {
      window.localStorage.setItem(key(), field.value);
    } catch {
      // without storage the words last as long as the page
    }
  };
  let waiting = null;
  const take = () => {
    clearTimeout(waiting);
    waiting = null;
    model.text = field.value;
    keep();
  };
  field.addEventListener("input", () => {
    clearTimeout(waiting);
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
