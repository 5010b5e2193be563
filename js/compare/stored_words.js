// What the browser keeps of a reader's words, and the date that they begin with.

export const STORED = "attnpanel:words:";
export const MAX_LETTERS = 4000;
const MAX_TEXTS = 30;

/** Today as the reader's calendar has it, as a date field takes it: "2026-12-01". */
export function today(now = new Date()) {
  return [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

/**
 * The stored texts whose subjects begin in a way, by subject.
 *
 * @param {Storage} storage
 * @param {string} beginning
 * @returns {Record<string, string>}
 */
export function gathered(storage, beginning) {
  const keys = Array.from({ length: storage.length }, (_, at) => storage.key(at) ?? "");
  const chosen = keys.filter((key) => key.startsWith(STORED + beginning)).slice(0, MAX_TEXTS);
  return Object.fromEntries(chosen.map((key) => [key.slice(STORED.length), (storage.getItem(key) ?? "").slice(0, MAX_LETTERS)]));
}
