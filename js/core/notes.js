import { t } from "./translate.js";

// A reader's notes as plain data: validation of documents, and their marks. No DOM. The rules are those of
// attnpanel/trace/notes.py.

export const NOTES_SCHEMA = "attnpanel.notes/1";
export const NOTE_LIMITS = { bytes: 4_000_000, notes: 1000, text: 4000, token: 200, address: 1000, count: 2 ** 31 - 1 };
const KINDS = ["cell", "row", "head"];
const PLACES = /** @type {const} */ (["batch", "head", "query_index", "key_index"]); // in the order of a call's extents
const TIME =
  /^(?!0000)(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/;

/**
 * A value as a short text for a sentence.
 *
 * @param {unknown} value
 */
function short(value) {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (isRecord(value)) return "an object";
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

/** @param {string} sentence @returns {never} */
function refuse(sentence) {
  throw new Error(sentence);
}

/** @param {unknown} value @returns {value is Record<string, any>} */
function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The notes of a file's text; extents as for readNotes.
 *
 * @throws {Error} a sentence for the reader: the first rule that is broken, and what came
 *
 * @param {string} text
 * @param {number[][]} [extents]
 */
export function parseNotes(text, extents) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    refuse(`notes must be JSON; got ${short(text.slice(0, 30))}`);
  }
  return readNotes(document, extents);
}

/**
 * Reads the notes of an untrusted document; copies only the fields of the schema.
 *
 * @param {unknown} document
 * @param {number[][]} [extents] [batch, heads, queries, keys] of each layer; notes must be inside them
 * @returns {Note[]}
 */
export function readNotes(document, extents) {
  if (!isRecord(document)) refuse(`notes must be a JSON object; got ${short(document)}`);
  if (document.schema !== NOTES_SCHEMA) refuse(`notes must have the schema "${NOTES_SCHEMA}"; got ${short(document.schema)}`);
  const { notes } = document;
  if (!Array.isArray(notes)) refuse(`notes must be a list; got ${short(notes)}`);
  if (notes.length > NOTE_LIMITS.notes) refuse(`there may be at most ${NOTE_LIMITS.notes} notes; got ${notes.length}`);
  return notes.map((record, i) => {
    try {
      return readNote(record, extents);
    } catch (error) {
      return refuse(`note ${i + 1}: ${/** @type {Error} */ (error).message}`);
    }
  });
}

/** @param {unknown} record @param {number[][] | undefined} extents */
function readNote(record, extents) {
  if (!isRecord(record)) refuse(`must be a JSON object; got ${short(record)}`);
  /** @param {string} name */
  const given = (name) => (Object.hasOwn(record, name) ? record[name] : undefined);
  const kind = given("kind");
  if (!KINDS.includes(kind)) refuse(`kind must be one of ${KINDS.join(", ")}; got ${short(kind)}`);
  const note = /** @type {Note} */ ({ kind, layer: count("layer", given("layer")) });
  note.head = given("head") === null ? null : count("head", given("head"));
  note.batch = count("batch", given("batch"));
  if (kind !== "head") note.query_index = count("query_index", given("query_index"));
  if (kind === "cell") note.key_index = count("key_index", given("key_index"));
  if (extents) checkPlace(note, extents);
  note.text = words("text", given("text"), NOTE_LIMITS.text);
  note.query = words("query", given("query") ?? "", NOTE_LIMITS.token);
  note.key = words("key", given("key") ?? "", NOTE_LIMITS.token);
  note.address = words("address", given("address") ?? "", NOTE_LIMITS.address);
  note.created = time(given("created"));
  return note;
}

/** @param {string} name @param {unknown} value @returns {number} */
function count(name, value) {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > NOTE_LIMITS.count) {
    refuse(`${name} must be an integer from 0; got ${short(value)}`);
  }
  return value;
}

/** @param {string} name @param {unknown} value @param {number} most @returns {string} */
function words(name, value, most) {
  if (typeof value !== "string") refuse(`${name} must be text; got ${short(value)}`);
  if (value.length > most && [...value].length > most) refuse(`${name} must have at most ${most} characters`);
  if (/\p{Surrogate}/u.test(value)) refuse(`${name} must be text that UTF-8 can hold`);
  return value;
}

/** @param {unknown} value @returns {string} */
function time(value) {
  const parts = typeof value === "string" ? TIME.exec(value) : null;
  const [year, month, day] = (parts ?? []).slice(1, 4).map(Number);
  const date = new Date(Date.UTC(year, month - 1, day));
  date.setUTCFullYear(year); // Date.UTC takes years below 100 for those of the last century
  if (!parts || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) {
    refuse(`created must read like 2026-01-31T23:59:00Z; got ${short(value)}`);
  }
  return /** @type {string} */ (value);
}

/** @param {Note} note @param {number[][]} extents */
function checkPlace(note, extents) {
  if (note.layer >= extents.length) refuse(`layer must be below ${extents.length} here; got ${note.layer}`);
  PLACES.forEach((name, i) => {
    const limit = extents[note.layer][i];
    if ((note[name] ?? 0) >= limit) refuse(`${name} must be below ${limit} here; got ${note[name]}`);
  });
}

/**
 * Notes as a document that readNotes and Python's read_notes take.
 *
 * @param {Note[]} notes
 * @param {string} [identity]
 */
export function notesDocument(notes, identity) {
  return { schema: NOTES_SCHEMA, trace: identity, notes };
}

/**
 * A key that identifies equal notes; short, since pages store it.
 *
 * @param {Note} note
 */
export function noteKey(note) {
  let hash = 0x811c9dc5; // FNV-1a
  for (let i = 0; i < note.text.length; i++) hash = Math.imul(hash ^ note.text.charCodeAt(i), 0x01000193);
  const { kind, layer, head, batch, query_index = "", key_index = "", created } = note;
  return [kind, layer, head, batch, query_index, key_index, created, hash >>> 0].join(" ");
}

/**
 * The first list, extended by the notes that only the second has.
 *
 * @param {Note[]} notes
 * @param {Note[]} others
 */
export function mergeNotes(notes, others) {
  const known = new Set(notes.map(noteKey));
  const added = others.filter((note) => !known.has(noteKey(note)) && known.add(noteKey(note)));
  return [...notes, ...added];
}

/**
 * A token with visible signs for blanks and line ends.
 *
 * @param {string} text
 * @param {number} index
 */
function readable(text, index) {
  const seen = text.trim() === "" ? JSON.stringify(text).slice(1, -1).replaceAll(" ", "␣") : text.replaceAll("\n", "⏎");
  return seen === "" ? String(index) : seen;
}

/**
 * Describes what a note marks, and where: ["cell", "it → trophy", "layer 3, head 1"].
 *
 * @param {Note} note
 */
export function describeNote({ kind, layer, head, batch, query_index, key_index, query = "", key = "" }) {
  const heads = head === null ? t("mean of heads") : t("head {head}", { head });
  const where = [t("layer {number}", { number: layer }), heads, ...(batch > 0 ? [t("batch {number}", { number: batch })] : [])].join(", ");
  if (kind === "head") return ["head", where, ""];
  const row = readable(query, query_index ?? 0);
  return kind === "row" ? ["row", row, where] : ["cell", `${row} → ${readable(key, key_index ?? 0)}`, where];
}

/**
 * Query parameters that restore a note's place and the choices under which it was written.
 *
 * @param {Partial<Note> & Place} note
 */
export function addressOf({ address = "", layer, head, batch, query_index }) {
  const choices = new URLSearchParams(address.slice(0, NOTE_LIMITS.address));
  choices.set("layer", String(layer));
  choices.set("mean", head === null ? "1" : "0");
  if (head !== null) choices.set("head", String(head));
  choices.set("batch", String(batch));
  if (query_index !== undefined) choices.set("token", String(query_index));
  return choices.toString();
}

/**
 * Whether a note is about the selected head.
 *
 * @param {Note} note
 * @param {Place} place
 */
export function isShown(note, place) {
  return note.layer === place.layer && note.head === place.head && note.batch === place.batch;
}

/**
 * Groups notes on the same place, which share a badge.
 *
 * @param {Note[]} notes
 * @param {(note: Note) => boolean} chosen
 * @param {(note: Note) => unknown} where
 */
function grouped(notes, chosen, where) {
  const places = new Map();
  notes.forEach((note, i) => {
    if (!chosen(note)) return;
    const key = where(note);
    if (!places.has(key)) places.set(key, { note, numbers: [] });
    places.get(key).numbers.push(i + 1);
  });
  return [...places.values()].map(({ note, numbers }) => {
    const more = numbers.length > 3 ? [...numbers.slice(0, 2), `+${numbers.length - 2}`] : numbers;
    return { note, text: more.join(",") };
  });
}

const COLUMNS = ["left", "right", "top", "bottom", "x", "y", "text", "dx", "dy"];
const NOWHERE = { left: NaN, right: NaN, top: NaN, bottom: NaN };
// Approximate size of a badge in pixels; it is centred on its place and then moved by (dx, dy).
const [LETTER, SIDES, HEIGHT] = [6.2, 9, 15];
/** @param {string} text */
const halfWidth = (text) => (LETTER * text.length + SIDES) / 2;

/** @param {Record<string, any>[]} marks */
function columnsOf(marks) {
  return Object.fromEntries(COLUMNS.map((name) => [name, marks.map((mark) => mark[name])]));
}

/**
 * The marks of a heatmap: a cell has an outline and a badge at its corner, a row a badge at its end.
 *
 * @param {Note[]} notes
 * @param {Place} place the head on screen
 * @param {Shown} shown
 * @returns {Columns} columns of the data source
 */
export function heatmapMarks(notes, place, shown) {
  /** @param {string} kind */
  const here = (kind) => (/** @type {Note} */ note) => note.kind === kind && isShown(note, place);
  const cells = grouped(notes, here("cell"), (note) => `${note.query_index} ${note.key_index}`).map(({ note, text }) => {
    const [x, y] = [note.key_index, note.query_index];
    const box = { left: x - 0.5, right: x + 0.5, top: y - 0.5, bottom: y + 0.5 };
    // The badge is centred on the corner, or inside at the plot's edge, where it would be clipped.
    const dx = box.right >= shown.right ? -halfWidth(text) : 0;
    const dy = box.top <= shown.top ? HEIGHT / 2 : 0;
    return { ...box, x: box.right, y: box.top, text, dx, dy };
  });
  const rows = grouped(notes, here("row"), (note) => note.query_index).map(({ note, text }) => {
    const badge = `◂ ${text}`;
    return { ...NOWHERE, x: shown.right, y: note.query_index, text: badge, dx: -halfWidth(badge), dy: 0 };
  });
  return columnsOf([...cells, ...rows]);
}

/**
 * The marks of the plot of all heads: a badge in a tile's corner; at the row's end for the mean.
 *
 * @param {Note[]} notes
 * @param {Place} place
 * @param {Shown} shown
 */
export function gridMarks(notes, place, shown) {
  /** @param {Note} note */
  const here = (note) => note.kind === "head" && note.batch === place.batch;
  const marks = grouped(notes, here, (note) => `${note.layer} ${note.head}`).map(({ note, text }) => {
    const mean = note.head === null;
    const badge = mean ? t("mean {text}", { text }) : text;
    const [x, dx] = mean ? [shown.right, -halfWidth(badge)] : [note.head - 0.5, halfWidth(badge)];
    return { ...NOWHERE, x, y: note.layer - 0.5, text: badge, dx, dy: HEIGHT / 2 };
  });
  return columnsOf(marks);
}
