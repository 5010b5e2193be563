import { element } from "./dom.js";
import { NAMES, listItem, makeButton } from "./note_list.js";
import { describeNote, isShown } from "../core/notes.js";
import { t } from "../core/translate.js";

// The card of notes: its form, and texts that depend on the place and the notes.

/** @type {Record<string, (what: string) => string>} */
const MARK = {
  cell: (what) => t("Mark cell {what}", { what }),
  row: (what) => t("Mark row {what}", { what }),
  head: (what) => t("Mark head {what}", { what }),
};
/** @type {Record<string, (what: string) => string>} */
const YOURS = {
  cell: (what) => t("Your note on {what}", { what }),
  row: (what) => t("Your note on row {what}", { what }),
  head: (what) => t("Your note on head {what}", { what }),
};

/** @param {import("./annotations.js").Notes} card */
export function buildCard(card) {
  const id = `attn-note-${card.model.explorer_id}`;
  card.root.setAttribute("aria-label", t("Notes"));
  const heading = element("h2", "attn-caption", `${t("Notes")} `);
  heading.append(card.subtitle);

  const kinds = element("div", "attn-note-kinds");
  kinds.setAttribute("role", "group");
  kinds.setAttribute("aria-label", t("What to mark"));
  kinds.append(...card.choices.map(({ button }) => button));
  card.field.id = id;
  card.field.setAttribute("aria-keyshortcuts", "n");
  card.label.htmlFor = id;

  card.adding.title = "Ctrl+Enter";
  const file = element("input");
  file.type = "file";
  file.accept = ".json,application/json";
  file.hidden = true;
  file.addEventListener("change", () => {
    const [chosen] = file.files ?? [];
    card.import(chosen).catch(() => card.showStatus(t("This file can't be read.")));
    file.value = ""; // so that the same file can be chosen again
  });
  const importing = makeButton(t("Import"), () => file.click());
  const actions = element("div", "attn-note-actions");
  actions.append(card.adding, card.exporting, importing, file);

  card.status.setAttribute("role", "status");
  const statusLine = element("p", "attn-note-status");
  statusLine.append(card.status, " ", card.undoing);

  const form = element("div", "attn-note-form");
  form.append(kinds, card.label, card.field, actions, statusLine);
  card.list.setAttribute("aria-label", t("Notes on this trace"));
  const right = element("div");
  right.append(card.empty, card.list);
  const columns = element("div", "attn-notes");
  columns.append(form, right);
  card.root.append(heading, columns);
}

/**
 * Updates the card.
 *
 * @param {import("./annotations.js").Notes} card
 * @param {boolean} list false where only the place has changed
 */
export function writeCard(card, list) {
  const { place } = card.model;
  const ready = place.layer !== undefined;
  card.adding.disabled = !ready;
  for (const { kind, button } of card.choices) {
    button.disabled = !ready;
    button.setAttribute("aria-pressed", String(kind === card.kind));
    if (!ready) continue;
    const what = describeNote(card.target(kind))[1];
    const name = element("span", "", NAMES[kind]);
    const mark = element("b", "", what);
    button.replaceChildren(name, " ", mark);
    button.setAttribute("aria-label", MARK[kind](what));
    button.title = what;
    if (kind === card.kind) card.label.textContent = YOURS[kind](what);
  }
  card.field.placeholder = t("What do you see?");
  card.exporting.disabled = card.notes.length === 0;
  if (list) {
    card.empty.hidden = card.notes.length > 0;
    card.list.hidden = card.notes.length === 0;
    card.list.replaceChildren(...card.notes.map((note, i) => listItem(card, note, i)));
    const keeps = card.kept ? t("kept in this browser · export them to share") : t("export them: this browser keeps none");
    card.subtitle.textContent = keeps;
  }
  for (const [i, note] of card.notes.entries()) {
    card.list.children[i]?.classList.toggle("current", ready && isShown(note, place));
  }
}
