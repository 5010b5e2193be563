// Opens a payload and asks its calls. Run by driver.mjs; the answers of what takes time lie in `answered` until
// they are fetched.

import { openTrace } from "../../js/core/trace_data.js";

let opened = null;
let answered = null;

export function open(meta, payloads) {
  answered = null;
  opened = openTrace(meta, payloads);
  return opened.calls.map((call) => call.opened);
}

export function ready(index) {
  answered = null;
  opened.calls[index].ready().then(
    () => (answered = "ready"),
    (error) => (answered = `${error.name}: ${error.message}`),
  );
  return null;
}

export function answer() {
  return answered;
}

export function ask(name, index, ...args) {
  return opened.calls[index][name](...args);
}

/** Whether two questions are answered by the very same numbers, not by equal ones. */
export function same(name, index, args, others) {
  const one = opened.calls[index][name](...args);
  const other = opened.calls[index][name](...others);
  return one.buffer === other.buffer && one.byteOffset === other.byteOffset;
}

export function tokens(index, batch) {
  return opened.tokensOf(opened.calls[index], batch);
}

export function field(name) {
  return opened[name] ?? null;
}

export function callField(index, name) {
  return opened.calls[index][name];
}
