import { notesDocument, parseNotes } from "../core/notes.js";

/** Notes in the browser's storage, which may be unavailable for file:// or in a private window. */
export class Shelf {
  /** @param {string} identity */
  constructor(identity) {
    this.key = `attnpanel.notes:${window.location.pathname}:${identity}`;
  }

  places() {
    // Even access to the property throws if the browser forbids storage.
    return [() => window.localStorage, () => window.sessionStorage];
  }

  /** @returns {{notes: Note[], seen: string[]}} */
  read() {
    for (const place of this.places()) {
      try {
        const text = place().getItem(this.key);
        if (text === null) continue;
        const { seen } = JSON.parse(text);
        return { notes: parseNotes(text), seen: Array.isArray(seen) ? seen.map(String) : [] };
      } catch {
        // unavailable, or not a document of ours
      }
    }
    return { notes: [], seen: [] };
  }

  /**
   * Stores the notes; returns whether that worked.
   *
   * @param {Note[]} notes
   * @param {string[]} seen
   */
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
