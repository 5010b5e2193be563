import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { buildCard, writeCard } from "./note_form.js";
import { KINDS, focusOn, makeButton, makeField } from "./note_list.js";
import { Marks } from "./note_marks.js";
import { Shelf } from "./note_shelf.js";
import { saveFile } from "./save_file.js";
import { NOTE_LIMITS, addressOf, mergeNotes, noteKey, notesDocument, parseNotes } from "../core/notes.js";
import { modelsOf } from "../core/scope.js";
import { t } from "../core/translate.js";

// The card of notes on cells, rows and heads: lists them and draws their marks on the plots. Every text, whether
// typed, imported or embedded, goes through textContent.

// Event for other explorers of the same trace in this document; other windows get a "storage" event.
const ELSEWHERE = "attn:notes";

// Replaces lone surrogates, which cutting a text can leave and UTF-8 cannot encode.
/** @param {string} text */
const wellFormed = (text) => text.replace(/\p{Surrogate}/gu, "\ufffd");

/**
 * @typedef {{identity: string, notes: Note[]}} Book
 * @typedef {{place: any, about: {identity?: string, calls?: number[][]}, book: Book, root_class: string,
 *   whole_page: boolean, marked: Record<string, string>}} NotesParameters
 * @typedef {{query_index: number, key_index: number}} Cell
 */

export class Notes {
  /** @type {Note[]} */
  notes = [];
  /** @type {string[]} keys of the notes that this browser has seen */
  seen = [];
  /** @type {Note["kind"]} */
  kind = "cell";
  /** @type {?(Cell & {query: string, key: string, selection: ?string})} a tapped cell, until another row or head is chosen */
  pinned = null;
  /** @type {?Cell} */
  hovered = null;
  /** @type {?number} */
  editing = null;
  /** @type {?{index: number, note: Note}} */
  removed = null;
  /** whether this browser could store the notes */
  kept = true;
  /** @type {Book | undefined} what came from Python last */
  taken;
  identity = "";
  /** undefined until the trace's identity is known */
  shelf = /** @type {Shelf} */ (/** @type {unknown} */ (undefined));
  marks = new Marks([], {});
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  drawing;
  root = element("section", "attn-notes-card");
  subtitle = element("small");
  field = makeField(
    () => this.add(),
    () => this.field.blur(),
  );
  label = element("label", "attn-label");
  adding = makeButton(t("Add note"), () => this.add(), "attn-plain-button attn-strong");
  exporting = makeButton(t("Export"), () => this.export());
  status = element("span");
  undoing = makeButton(t("Undo"), () => this.undo(), "attn-link-button");
  empty = element(
    "p",
    "attn-caption muted",
    t("No notes yet. Tap a cell of a heatmap, write what you see, and add it: the mark gets the note's number."),
  );
  list = element("ol", "attn-note-list");
  choices = KINDS.map((kind) => ({ kind, button: makeButton("", () => this.choose(kind)) }));

  /** @param {ComponentModel<Dispatching<NotesParameters>>} model */
  constructor(model) {
    this.model = model;
    buildCard(this);
  }

  connect() {
    const { model } = this;
    const models = modelsOf(model);
    this.marks = new Marks(models, model.marked);
    this.marks.onZoom(() => this.draw());
    /** @param {KeyboardEvent} event */
    const onKey = (event) => this.key(event);
    /** @param {any} event */
    const onPlot = (event) => this.point(event.detail);
    /** @param {any} event */
    const onElsewhere = (event) => this.reread(event);
    /** @param {any} event */
    const onMessage = ({ detail: { last, take_notes: other } }) => {
      if (last) this.handOver(last);
      else if (other) this.takeOver(other);
    };
    document.addEventListener("keydown", onKey);
    document.addEventListener(`attn:message:${model.explorer_id}`, onMessage);
    document.addEventListener(`attn:${model.explorer_id}`, onPlot);
    document.addEventListener(ELSEWHERE, onElsewhere);
    window.addEventListener("storage", onElsewhere);
    model.on("remove", () => {
      document.removeEventListener("keydown", onKey);
      document.removeEventListener(`attn:message:${model.explorer_id}`, onMessage);
      document.removeEventListener(`attn:${model.explorer_id}`, onPlot);
      document.removeEventListener(ELSEWHERE, onElsewhere);
      window.removeEventListener("storage", onElsewhere);
    });
    // The page's theme is a class on the explorer's outermost element.
    for (const bokehModel of models) {
      if (bokehModel.css_classes?.includes(model.root_class)) bokehModel.properties.css_classes.change.connect(() => this.draw());
    }
    model.on("place", () => this.follow());
    model.on(["book", "about"], () => this.open());
    this.open();
    this.follow();
  }

  /**
   * Gives all that was written to the notes of an explorer that takes this one's place.
   *
   * @param {string} other the other's id
   */
  handOver(other) {
    this.settle();
    document.dispatchEvent(new CustomEvent(`attn:message:${other}`, { detail: { take_notes: this } }));
  }

  /**
   * Takes what another explorer's notes hold, stored or not, and what is being written.
   *
   * @param {Notes} other
   */
  takeOver(other) {
    if (other.identity !== this.identity) return;
    const { notes, seen, removed, pinned, kind } = other;
    Object.assign(this, { notes, seen, removed, pinned, kind, editing: null });
    this.field.value = other.field.value;
    this.changed(other.status.textContent, true);
  }

  /** Merges the notes of the page or of Python with those stored in this browser. */
  open() {
    const { book, about } = this.model;
    if (book === this.taken || !about.identity || book.identity !== about.identity) return;
    this.taken = book;
    const given = mergeNotes([], book.notes ?? []);
    if (about.identity === this.identity) {
      this.notes = given; // set by Python, which takes precedence
    } else {
      this.identity = about.identity;
      this.shelf = new Shelf(this.identity);
      const { notes, seen } = this.shelf.read();
      this.notes = mergeNotes(
        notes,
        given.filter((note) => !seen.includes(noteKey(note))),
      );
      this.seen = seen;
      this.removed = null;
    }
    // So that an embedded note that was deleted does not return with a reload.
    this.seen = [...new Set([...this.seen, ...given.map(noteKey)])].slice(-NOTE_LIMITS.notes);
    this.changed("");
  }

  /**
   * Stores, publishes, lists and draws the notes as they are now.
   *
   * @param {string} said
   * @param {boolean} [undo]
   */
  changed(said, undo = false) {
    this.kept = this.shelf.write(this.notes, this.seen);
    if (!undo) this.removed = null;
    this.showStatus(said);
    this.publish();
    document.dispatchEvent(new CustomEvent(ELSEWHERE, { detail: this }));
  }

  publish() {
    this.model.send_msg({ book: { identity: this.identity, notes: this.notes } });
    this.write();
    this.draw();
  }

  /**
   * Adopts notes written in another window or notebook cell.
   *
   * @param {{key?: ?string, detail?: Notes}} event
   */
  reread({ key, detail }) {
    const other = detail && detail !== this && detail.shelf.key === this.shelf?.key;
    if (!other && (key === undefined || key !== this.shelf?.key)) return;
    if (!this.kept || this.editing !== null) return;
    Object.assign(this, this.shelf.read(), { removed: null });
    this.showStatus("");
    this.publish();
  }

  /** Saves the text of an open editor, before the list is rewritten. */
  settle() {
    const field = this.list.querySelector("textarea");
    if (this.editing === null || !field) return;
    this.notes = this.notes.map((note, i) => (i === this.editing ? { ...note, text: wellFormed(field.value.trim()) } : note));
    this.editing = null;
  }

  /** @param {string} text */
  showStatus(text) {
    this.status.textContent = text;
    this.undoing.hidden = this.removed === null;
  }

  /** @param {boolean} [list] false where only the place has changed */
  write(list = true) {
    writeCard(this, list);
  }

  /** A key of the selected row and head: a tapped cell stays selected until it changes. */
  selection() {
    const { layer, head, batch, address = "" } = this.model.place;
    return [layer, head, batch, new URLSearchParams(address).get("token")].join(" ");
  }

  follow() {
    const { pinned } = this;
    const selection = this.selection();
    if (pinned?.selection === null) {
      // The tap also selects its row, which the driver reports a moment later.
      if (selection.endsWith(` ${pinned.query_index}`)) pinned.selection = selection;
    } else if (pinned && pinned.selection !== selection) this.pinned = null;
    this.write(false);
    this.draw();
  }

  /**
   * Tracks the pointer over the heatmaps; a tap selects the cell.
   *
   * @param {{view: string, kind: string, x: number, y: number}} event
   */
  point({ view, kind, x, y }) {
    if (this.model.marked[view] !== "pairs") return;
    this.hovered = null;
    if (kind === "leave") return;
    const cell = { query_index: Math.round(y), key_index: Math.round(x) };
    const [, , queries, keys] = this.model.about.calls?.[this.model.place.layer] ?? [0, 0, 0, 0];
    if (!(cell.query_index >= 0 && cell.query_index < queries && cell.key_index >= 0 && cell.key_index < keys)) return;
    this.hovered = cell;
    if (kind !== "tap") return;
    this.pin(null);
    this.kind = "cell";
    this.follow();
  }

  /** @param {?string} selection */
  pin(selection) {
    const { query_index, key_index } = /** @type {Cell} */ (this.hovered);
    const [query, key] = [this.marks.label("left", query_index), this.marks.label("below", key_index)];
    this.pinned = { query_index, key_index, query, key, selection };
  }

  /**
   * The note that would be added, without its text.
   *
   * @param {Note["kind"]} kind
   */
  target(kind) {
    const { layer, head, batch, address = "" } = this.model.place;
    const { query_index, key_index, query = "", key = "" } = this.pinned ?? this.model.place;
    /** @param {string} text */
    const cut = (text) => wellFormed([...String(text)].slice(0, NOTE_LIMITS.token).join(""));
    const note = /** @type {Note} */ ({ kind, layer, head, batch });
    if (kind !== "head") Object.assign(note, { query_index, query: cut(query) });
    if (kind === "cell") Object.assign(note, { key_index, key: cut(key) });
    note.address = address.slice(0, NOTE_LIMITS.address);
    return note;
  }

  /** @param {Note["kind"]} kind */
  choose(kind) {
    this.kind = kind;
    this.write(false);
    this.field.focus();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key !== "n" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const path = event.composedPath();
    if (path.some((node) => node instanceof Element && node.matches("input, textarea, select, [contenteditable]"))) return;
    const inside = path.some((node) => node instanceof Element && node.classList.contains(this.model.root_class));
    if (!inside && !(this.model.whole_page && path[0] === document.body)) return;
    event.preventDefault();
    if (this.hovered) {
      this.pin(this.selection());
      this.kind = "cell";
      this.write(false);
    }
    this.field.focus();
  }

  add() {
    if (this.model.place.layer === undefined) return;
    if (this.notes.length >= NOTE_LIMITS.notes) {
      this.showStatus(t("There may be at most {count} notes.", { count: NOTE_LIMITS.notes }));
      return;
    }
    this.settle();
    const text = wellFormed(this.field.value.trim());
    const note = { ...this.target(this.kind), text, created: new Date().toISOString() };
    this.notes = [...this.notes, note];
    this.field.value = "";
    this.changed(t("Note {number} added.", { number: this.notes.length }));
    this.list.lastElementChild?.scrollIntoView({ block: "nearest" });
  }

  /** @param {number} index */
  save(index) {
    this.settle();
    this.changed(t("Note {number} changed.", { number: index + 1 }));
    focusOn(this.list.children[index], "[data-edit]");
  }

  /** @param {number} index */
  remove(index) {
    this.settle();
    this.removed = { index, note: this.notes[index] };
    this.notes = this.notes.filter((_, i) => i !== index);
    this.changed(t("Note {number} deleted.", { number: index + 1 }), true);
    this.undoing.focus();
  }

  undo() {
    if (this.removed === null) return;
    const { index, note } = this.removed;
    this.settle();
    this.notes = [...this.notes.slice(0, index), note, ...this.notes.slice(index)];
    this.changed(t("Note {number} is back.", { number: index + 1 }));
    focusOn(this.list.children[index], "button");
  }

  /** @param {Note} note */
  goTo(note) {
    dispatch(this.model, { restore: addressOf(note) });
    if (note.kind === "cell") dispatch(this.model, { pair: [note.query_index, note.key_index] });
  }

  export() {
    const text = JSON.stringify(notesDocument(this.notes, this.identity), null, 1);
    saveFile(text, "attnpanel-notes.json", "application/json");
    this.showStatus(this.notes.length === 1 ? t("1 note exported.") : t("{count} notes exported.", { count: this.notes.length }));
  }

  /**
   * Merges the notes of a file; a bad file changes nothing.
   *
   * @param {File | undefined} file
   */
  async import(file) {
    if (!file) return;
    if (file.size > NOTE_LIMITS.bytes) {
      const [most, got] = [NOTE_LIMITS.bytes, file.size].map((bytes) => (bytes / 1e6).toFixed(0));
      this.showStatus(t("Nothing imported: a file of notes may have at most {most} MB; this one has {got} MB.", { most, got }));
      return;
    }
    const text = await file.text();
    this.settle();
    let all;
    try {
      all = mergeNotes(this.notes, parseNotes(text, this.model.about.calls));
      if (all.length > NOTE_LIMITS.notes) throw new Error(t("with them there would be {count} notes; {most} is the most", { count: all.length, most: NOTE_LIMITS.notes }));
    } catch (error) {
      this.showStatus(t("Nothing imported: {reason}.", { reason: /** @type {Error} */ (error).message }));
      return;
    }
    const added = all.length - this.notes.length;
    const { trace = this.identity } = JSON.parse(text);
    this.notes = all;
    const counted = added === 1 ? t("1 note imported.") : t("{count} notes imported.", { count: added });
    const message = added === 0 ? t("No note in it is new.") : counted;
    this.changed(trace === this.identity ? message : `${message} ${t("They were written on another trace.")}`);
  }

  draw() {
    if (this.notes.length === 0 && this.marks.empty) return;
    clearTimeout(this.drawing);
    // After the theme was applied: the marks' colours come from the stylesheet.
    this.drawing = setTimeout(() => {
      const style = getComputedStyle(this.root);
      const [ink, card] = ["--attn-ink", "--attn-card"].map((name) => style.getPropertyValue(name).trim());
      if (this.model.place.layer !== undefined) this.marks.draw(this.notes, this.model.place, { ink, card });
    }, 0);
  }
}

/** @param {Props<Dispatching<NotesParameters>>} props */
export function render({ model }) {
  const notes = new Notes(model);
  model.on("after_render", () => requestAnimationFrame(() => notes.connect()));
  return notes.root;
}
