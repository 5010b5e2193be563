import { NOTE_LIMITS, describeNote } from "../core/notes.js";
import { t } from "../core/translate.js";
import { element } from "./dom.js";

// The list of notes and their editor.

export const KINDS = /** @type {const} */ (["cell", "row", "head"]);
export const NAMES = { cell: t("Cell"), row: t("Row"), head: t("Head") };

/** @param {string} text @param {() => void} onPress @param {string} [className] */
export function makeButton(text, onPress, className = "attn-plain-button") {
  const button = element("button", className, text);
  button.addEventListener("click", onPress);
  return button;
}

/**
 * A text field in which Ctrl+Enter saves and Escape cancels.
 *
 * @param {() => void} onSave
 * @param {() => void} onCancel
 */
export function makeField(onSave, onCancel) {
  const field = element("textarea", "attn-note-field");
  field.maxLength = NOTE_LIMITS.text;
  field.rows = 2;
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onSave();
    else if (event.key === "Escape") onCancel();
    else return;
    event.preventDefault();
  });
  return field;
}

/** @param {import("./annotations.js").Notes} card @param {Note} note @param {number} index */
export function listItem(card, note, index) {
  const number = index + 1;
  const [, what, where] = describeNote(note);
  const item = element("li");
  const head = element("div", "attn-note-head");
  const title = element("span", "attn-note-what");
  title.append(element("span", "", NAMES[note.kind]), " ", element("b", "", what));
  if (where) title.append(" ", element("small", "", where));
  title.title = note.created;
  head.append(element("span", "attn-note-number", String(number)), title);
  item.append(head);
  if (card.editing === index) item.append(...editorOf(card, note, index));
  else {
    if (note.text) item.append(element("p", "attn-note-text", note.text));
    const go = makeButton(t("Go to"), () => card.goTo(note), "attn-link-button");
    const edit = makeButton(t("Edit"), () => openEditor(card, index), "attn-link-button");
    const drop = makeButton(t("Delete"), () => card.remove(index), "attn-link-button");
    edit.dataset.edit = "";
    go.setAttribute("aria-label", t("Go to note {number}", { number }));
    edit.setAttribute("aria-label", t("Edit note {number}", { number }));
    drop.setAttribute("aria-label", t("Delete note {number}", { number }));
    const actions = element("div", "attn-note-links");
    actions.append(go, edit, drop);
    item.append(actions);
  }
  return item;
}

/** @param {import("./annotations.js").Notes} card @param {number} index */
function openEditor(card, index) {
  card.settle();
  card.editing = index;
  card.write();
  card.list.children[index].querySelector("textarea")?.focus();
}

/** @param {import("./annotations.js").Notes} card @param {Note} note @param {number} index */
function editorOf(card, note, index) {
  const save = () => card.save(index);
  const cancel = () => {
    card.editing = null;
    card.write();
    focusOn(card.list.children[index], "[data-edit]");
  };
  const field = makeField(save, cancel);
  field.value = note.text;
  field.setAttribute("aria-label", t("Note {number}", { number: index + 1 }));
  const actions = element("div", "attn-note-links");
  actions.append(makeButton(t("Save"), save, "attn-link-button"), makeButton(t("Cancel"), cancel, "attn-link-button"));
  return [field, actions];
}

/**
 * Focuses an element of a note.
 *
 * @param {Element} item
 * @param {string} selector
 */
export function focusOn(item, selector) {
  const found = item.querySelector(selector);
  if (found instanceof HTMLElement) found.focus();
}
