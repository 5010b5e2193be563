import {
  NOTE_LIMITS,
  addressOf,
  describeNote,
  gridMarks,
  heatmapMarks,
  isShown,
  mergeNotes,
  noteKey,
  notesDocument,
  parseNotes,
} from "./notes.js";
import { saveFile } from "./save_file.js";

// The card of notes: marks cells, rows and heads with words, lists them, draws them on the pictures.
// Every text, typed, imported or baked in, goes through textContent.

const HEATMAPS = ["scores", "weights"];
// Another explorer of the same trace in this notebook has new notes; other windows tell by "storage".
const ELSEWHERE = "attn:notes";
// The colours of what draws the marks, by the renderer's name.
const COLOURS = {
  "attn:ground": ({ card }) => ({ line_color: card }),
  "attn:dashes": ({ ink }) => ({ line_color: ink }),
  "attn:badge": ({ ink, card }) => ({ text_color: card, background_fill_color: ink, border_line_color: card }),
};
const NAMES = { cell: "Cell", row: "Row", head: "Head" };

function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

function makeButton(text, onPress, className = "attn-plain-button") {
  const button = make("button", className, text);
  button.type = "button";
  button.addEventListener("click", onPress);
  return button;
}

/** A field in which Ctrl+Enter saves and Escape gives up. */
function makeField(onSave, onCancel) {
  const field = make("textarea", "attn-note-field");
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

// What a keyboard can type is text that UTF-8 holds, up to half a character at a cut.
const wellFormed = (text) => text.replace(/\p{Surrogate}/gu, "\ufffd");

/** The browser's memory of a page's notes; from file:// or in a private window it may refuse. */
class Shelf {
  constructor(identity) {
    this.key = `attnpanel.notes:${window.location.pathname}:${identity}`;
  }

  places() {
    // Even naming a storage throws where the browser forbids it.
    return [() => window.localStorage, () => window.sessionStorage];
  }

  read() {
    for (const place of this.places()) {
      try {
        const text = place().getItem(this.key);
        if (text === null) continue;
        const { seen } = JSON.parse(text);
        return { notes: parseNotes(text), seen: Array.isArray(seen) ? seen.map(String) : [] };
      } catch {
        // not there, or not ours
      }
    }
    return { notes: [], seen: [] };
  }

  /** Whether the notes will be there after a reload. */
  write(notes, seen) {
    const text = JSON.stringify({ ...notesDocument(notes), seen });
    for (const place of this.places()) {
      try {
        place().setItem(this.key, text);
        return true;
      } catch {
        // full or forbidden
      }
    }
    return false;
  }
}

/** The explorer's pictures that bear marks. */
class Marks {
  constructor(model) {
    const named = (name) => model.document.get_model_by_name(name);
    this.pictures = [...HEATMAPS, "grid"].flatMap((view) => {
      const [figure, source] = [named(`attn:plot:${view}`), named(`attn:marks:${view}`)];
      return figure && source ? [{ view, figure, source, drawn: "" }] : [];
    });
  }

  get empty() {
    return this.pictures.every(({ source }) => source.data.text.length === 0);
  }

  /** Calls back when another part of a heatmap comes on screen. */
  onZoom(callback) {
    for (const { figure } of this.pictures.slice(0, 1)) {
      for (const range of [figure.x_range, figure.y_range]) range.change.connect(callback);
    }
  }

  draw(notes, place, colours) {
    for (const picture of this.pictures) {
      const { x_range: x, y_range: y } = picture.figure;
      const shown = {
        left: Math.min(x.start, x.end),
        right: Math.max(x.start, x.end),
        top: Math.min(y.start, y.end),
        bottom: Math.max(y.start, y.end),
      };
      const columns = (picture.view === "grid" ? gridMarks : heatmapMarks)(notes, place, shown);
      this.paint(picture, colours);
      const drawn = JSON.stringify(columns);
      if (drawn === picture.drawn) continue;
      picture.drawn = drawn;
      // In place: nothing is sent to a server, one repaint follows.
      Object.assign(picture.source.data, columns);
      picture.source.change.emit();
    }
  }

  /** Gives a picture's marks the page's colours. */
  paint(picture, colours) {
    const look = JSON.stringify(colours);
    if (look === picture.look) return;
    picture.look = look;
    for (const { data_source, name, glyph } of picture.figure.renderers) {
      if (data_source === picture.source) glyph.setv(COLOURS[name](colours), { sync: false });
    }
  }

  /** The label that stands at a position of the heatmaps' axes. */
  label(side, index) {
    const axis = this.pictures[0]?.figure[side].find((one) => one.formatter?.args);
    const args = axis?.formatter.args ?? {};
    const labels = (args instanceof Map ? args.get("labels") : args.labels) ?? [];
    return labels[index] ?? String(index);
  }
}

class Notes {
  constructor(model) {
    this.model = model;
    this.notes = [];
    this.seen = [];
    this.kind = "cell";
    this.pinned = null; // a cell that was tapped, until another row or head is chosen
    this.hovered = null;
    this.editing = null;
    this.removed = null;
    this.kept = true;
    this.build();
  }

  // -- the card ----------------------------------------------------------------------------

  build() {
    const id = `attn-note-${this.model.uid}`;
    this.root = make("section", "attn-notes-card");
    this.root.setAttribute("aria-label", "Notes");
    const heading = make("h2", "attn-words", "Notes ");
    this.aside = make("small");
    heading.append(this.aside);

    this.kinds = make("div", "attn-note-kinds");
    this.kinds.setAttribute("role", "group");
    this.kinds.setAttribute("aria-label", "What to mark");
    this.choices = Object.keys(NAMES).map((kind) => {
      const button = makeButton("", () => this.choose(kind));
      this.kinds.append(button);
      return [kind, button];
    });

    this.field = makeField(
      () => this.add(),
      () => this.field.blur(),
    );
    this.field.id = id;
    this.field.setAttribute("aria-keyshortcuts", "n");
    this.label = make("label", "attn-label");
    this.label.htmlFor = id;

    this.adding = makeButton("Add note", () => this.add(), "attn-plain-button attn-strong");
    this.adding.title = "Ctrl+Enter";
    this.exporting = makeButton("Export", () => this.export());
    const file = make("input");
    file.type = "file";
    file.accept = ".json,application/json";
    file.hidden = true;
    file.addEventListener("change", () => {
      const [chosen] = file.files;
      this.import(chosen).catch(() => this.say("This file can't be read."));
      file.value = ""; // so that the same file can be chosen again
    });
    const importing = makeButton("Import", () => file.click());
    const actions = make("div", "attn-note-actions");
    actions.append(this.adding, this.exporting, importing, file);

    this.status = make("span");
    this.status.setAttribute("role", "status");
    this.undoing = makeButton("Undo", () => this.undo(), "attn-link-button");
    const told = make("p", "attn-note-status");
    told.append(this.status, " ", this.undoing);

    const form = make("div", "attn-note-form");
    form.append(this.kinds, this.label, this.field, actions, told);
    this.empty = make(
      "p",
      "attn-words muted",
      "No notes yet. Tap a cell of a heatmap, write what you see, and add it: the mark gets the note's number.",
    );
    this.list = make("ol", "attn-note-list");
    this.list.setAttribute("aria-label", "Notes on this trace");
    const right = make("div");
    right.append(this.empty, this.list);
    const columns = make("div", "attn-notes");
    columns.append(form, right);
    this.root.append(heading, columns);
  }

  connect() {
    const { model } = this;
    this.marks = new Marks(model);
    this.marks.onZoom(() => this.draw());
    const onKey = (event) => this.key(event);
    const onPlot = (event) => this.point(event.detail);
    const onElsewhere = (event) => this.reread(event);
    document.addEventListener("keydown", onKey);
    document.addEventListener(`attn:${model.uid}`, onPlot);
    document.addEventListener(ELSEWHERE, onElsewhere);
    window.addEventListener("storage", onElsewhere);
    model.on("remove", () => {
      document.removeEventListener("keydown", onKey);
      document.removeEventListener(`attn:${model.uid}`, onPlot);
      document.removeEventListener(ELSEWHERE, onElsewhere);
      window.removeEventListener("storage", onElsewhere);
    });
    // The page's look is a class on the explorer's outermost element.
    for (const one of model.document._all_models.values()) {
      if (one.css_classes?.includes(model.root_class)) one.properties.css_classes.change.connect(() => this.draw());
    }
    model.on("place", () => this.follow());
    model.on(["book", "about"], () => this.open());
    this.open();
    this.follow();
  }

  // -- what is there -----------------------------------------------------------------------

  /** Takes the notes that came with the page or from Python, and those that this browser remembers. */
  open() {
    const { book, about } = this.model;
    if (book === this.told || !about.identity || book.identity !== about.identity) return;
    const given = mergeNotes([], book.notes ?? []);
    if (about.identity === this.identity) {
      this.notes = given; // Python's word
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
    // A note that was baked in and then deleted does not come back with a reload.
    this.seen = [...new Set([...this.seen, ...given.map(noteKey)])].slice(-NOTE_LIMITS.notes);
    this.changed("");
  }

  /** Keeps, tells, lists and draws the notes as they are now. */
  changed(said, undo = false) {
    this.kept = this.shelf.write(this.notes, this.seen);
    if (!undo) this.removed = null;
    this.say(said);
    this.tell();
    document.dispatchEvent(new CustomEvent(ELSEWHERE, { detail: this }));
  }

  tell() {
    this.told = { identity: this.identity, notes: this.notes };
    this.model.book = this.told;
    this.write();
    this.draw();
  }

  /** Takes what another window or notebook cell has written. */
  reread({ key, detail }) {
    const other = detail && detail !== this && detail.shelf.key === this.shelf?.key;
    if (!other && (key === undefined || key !== this.shelf?.key)) return;
    if (!this.kept || this.editing !== null) return;
    Object.assign(this, this.shelf.read(), { removed: null });
    this.say("");
    this.tell();
  }

  /** Takes what stands in a note's open editor, before the list is written anew. */
  settle() {
    const field = this.list.querySelector("textarea");
    if (this.editing === null || !field) return;
    this.notes = this.notes.map((note, i) => (i === this.editing ? { ...note, text: wellFormed(field.value.trim()) } : note));
    this.editing = null;
  }

  say(text) {
    this.status.textContent = text;
    this.undoing.hidden = this.removed === null;
  }

  // -- what would be marked ------------------------------------------------------------------

  /** The selected row and head, as a text: a tapped cell stays chosen until they change. */
  selection() {
    const { layer, head, batch, address = "" } = this.model.place;
    return [layer, head, batch, new URLSearchParams(address).get("token")].join(" ");
  }

  follow() {
    const { pinned } = this;
    const selection = this.selection();
    if (pinned?.selection === null) {
      // The tap selects its row, of which the driver tells a moment later.
      if (selection.endsWith(` ${pinned.query_index}`)) pinned.selection = selection;
    } else if (pinned && pinned.selection !== selection) this.pinned = null;
    this.write(false);
    this.draw();
  }

  /** Follows the pointer over the heatmaps; a tap chooses the cell. */
  point({ view, kind, x, y }) {
    if (!HEATMAPS.includes(view)) return;
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

  pin(selection) {
    const { query_index, key_index } = this.hovered;
    const [query, key] = [this.marks.label("left", query_index), this.marks.label("below", key_index)];
    this.pinned = { query_index, key_index, query, key, selection };
  }

  /** The note that would be added, without its words. */
  target(kind) {
    const { layer, head, batch, address = "" } = this.model.place;
    const { query_index, key_index, query = "", key = "" } = this.pinned ?? this.model.place;
    const cut = (text) => wellFormed([...String(text)].slice(0, NOTE_LIMITS.token).join(""));
    const note = { kind, layer, head, batch };
    if (kind !== "head") Object.assign(note, { query_index, query: cut(query) });
    if (kind === "cell") Object.assign(note, { key_index, key: cut(key) });
    note.address = address.slice(0, NOTE_LIMITS.address);
    return note;
  }

  choose(kind) {
    this.kind = kind;
    this.write(false);
    this.field.focus();
  }

  key(event) {
    if (event.key !== "n" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const path = event.composedPath();
    if (path.some((node) => node instanceof Element && node.matches("input, textarea, select, [contenteditable]"))) return;
    const inside = path.some((node) => node.classList?.contains(this.model.root_class));
    if (!inside && !(this.model.whole_page && path[0] === document.body)) return;
    event.preventDefault();
    if (this.hovered) {
      this.pin(this.selection());
      this.kind = "cell";
      this.write(false);
    }
    this.field.focus();
  }

  // -- what a reader does with notes -----------------------------------------------------------

  add() {
    if (this.model.place.layer === undefined) return;
    if (this.notes.length >= NOTE_LIMITS.notes) {
      this.say(`There may be at most ${NOTE_LIMITS.notes} notes.`);
      return;
    }
    this.settle();
    const text = wellFormed(this.field.value.trim());
    const note = { ...this.target(this.kind), text, created: new Date().toISOString() };
    this.notes = [...this.notes, note];
    this.field.value = "";
    this.changed(`Note ${this.notes.length} added.`);
    this.list.lastElementChild.scrollIntoView({ block: "nearest" });
  }

  save(index) {
    this.settle();
    this.changed(`Note ${index + 1} changed.`);
    this.list.children[index].querySelector("[data-edit]").focus();
  }

  remove(index) {
    this.settle();
    this.removed = { index, note: this.notes[index] };
    this.notes = this.notes.filter((_, i) => i !== index);
    this.changed(`Note ${index + 1} deleted.`, true);
    this.undoing.focus();
  }

  undo() {
    const { index, note } = this.removed;
    this.settle();
    this.notes = [...this.notes.slice(0, index), note, ...this.notes.slice(index)];
    this.changed(`Note ${index + 1} is back.`);
    this.list.children[index].querySelector("button").focus();
  }

  goTo(note) {
    tell(this.model, { restore: addressOf(note) });
    if (note.kind === "cell") tell(this.model, { pair: [note.query_index, note.key_index] });
  }

  export() {
    const text = JSON.stringify(notesDocument(this.notes, this.identity), null, 1);
    saveFile(text, "attnpanel-notes.json", "application/json");
    this.say(`${this.notes.length} ${this.notes.length === 1 ? "note" : "notes"} exported.`);
  }

  /** Adds a file's notes to those that are there; a bad file changes nothing. */
  async import(file) {
    if (!file) return;
    if (file.size > NOTE_LIMITS.bytes) {
      const [most, got] = [NOTE_LIMITS.bytes, file.size].map((bytes) => (bytes / 1e6).toFixed(0));
      this.say(`Nothing imported: a file of notes may have at most ${most} MB; this one has ${got} MB.`);
      return;
    }
    const text = await file.text();
    this.settle();
    let all;
    try {
      all = mergeNotes(this.notes, parseNotes(text, this.model.about.calls));
      if (all.length > NOTE_LIMITS.notes) throw new Error(`with them there would be ${all.length} notes; ${NOTE_LIMITS.notes} is the most`);
    } catch (error) {
      this.say(`Nothing imported: ${error.message}.`);
      return;
    }
    const added = all.length - this.notes.length;
    const { trace = this.identity } = JSON.parse(text);
    this.notes = all;
    const told = added === 0 ? "No note in it is new." : `${added} ${added === 1 ? "note" : "notes"} imported.`;
    this.changed(trace === this.identity ? told : `${told} They were written on another trace.`);
  }

  // -- drawing -----------------------------------------------------------------------------

  draw() {
    if (this.notes.length === 0 && this.marks.empty) return;
    clearTimeout(this.drawing);
    // After the page has its look: the marks' colours are the stylesheet's.
    this.drawing = setTimeout(() => {
      const style = getComputedStyle(this.root);
      const [ink, card] = ["--attn-ink", "--attn-card"].map((name) => style.getPropertyValue(name).trim());
      if (this.model.place.layer !== undefined) this.marks.draw(this.notes, this.model.place, { ink, card });
    }, 0);
  }

  /** Writes the card; `list` is false where only the place has changed. */
  write(list = true) {
    const { place } = this.model;
    const ready = place.layer !== undefined;
    this.adding.disabled = !ready;
    for (const [kind, button] of this.choices) {
      button.disabled = !ready;
      button.setAttribute("aria-pressed", String(kind === this.kind));
      if (!ready) continue;
      const what = describeNote(this.target(kind))[1];
      const name = make("span", "", NAMES[kind]);
      const mark = make("b", "", what);
      button.replaceChildren(name, " ", mark);
      button.setAttribute("aria-label", `Mark ${kind} ${what}`);
      button.title = what;
      if (kind === this.kind) this.label.textContent = `Your note on ${kind === "cell" ? "" : `${kind} `}${what}`;
    }
    this.field.placeholder = "What do you see?";
    this.exporting.disabled = this.notes.length === 0;
    if (list) {
      this.empty.hidden = this.notes.length > 0;
      this.list.hidden = this.notes.length === 0;
      this.list.replaceChildren(...this.notes.map((note, i) => this.item(note, i)));
      const keeps = this.kept ? "kept in this browser · export them to share" : "export them: this browser keeps none";
      this.aside.textContent = keeps;
    }
    for (const [i, note] of this.notes.entries()) {
      this.list.children[i]?.classList.toggle("here", ready && isShown(note, place));
    }
  }

  item(note, index) {
    const number = index + 1;
    const [, what, where] = describeNote(note);
    const item = make("li");
    const head = make("div", "attn-note-head");
    const title = make("span", "attn-note-what");
    title.append(make("span", "", NAMES[note.kind]), " ", make("b", "", what));
    if (where) title.append(" ", make("small", "", where));
    title.title = note.created;
    head.append(make("span", "attn-note-number", String(number)), title);
    item.append(head);
    if (this.editing === index) item.append(...this.editor(note, index));
    else {
      if (note.text) item.append(make("p", "attn-note-text", note.text));
      const go = makeButton("Go to", () => this.goTo(note), "attn-link-button");
      const edit = makeButton("Edit", () => this.edit(index), "attn-link-button");
      const drop = makeButton("Delete", () => this.remove(index), "attn-link-button");
      edit.dataset.edit = "";
      for (const [button, verb] of [[go, "Go to"], [edit, "Edit"], [drop, "Delete"]]) {
        button.setAttribute("aria-label", `${verb} note ${number}`);
      }
      const actions = make("div", "attn-note-links");
      actions.append(go, edit, drop);
      item.append(actions);
    }
    return item;
  }

  edit(index) {
    this.settle();
    this.editing = index;
    this.write();
    this.list.children[index].querySelector("textarea").focus();
  }

  editor(note, index) {
    const save = () => this.save(index);
    const cancel = () => {
      this.editing = null;
      this.write();
      this.list.children[index].querySelector("[data-edit]").focus();
    };
    const field = makeField(save, cancel);
    field.value = note.text;
    field.setAttribute("aria-label", `Note ${index + 1}`);
    const actions = make("div", "attn-note-links");
    actions.append(makeButton("Save", save, "attn-link-button"), makeButton("Cancel", cancel, "attn-link-button"));
    return [field, actions];
  }
}

export function render({ model }) {
  const notes = new Notes(model);
  model.on("after_render", () => requestAnimationFrame(() => notes.connect()));
  return notes.root;
}
