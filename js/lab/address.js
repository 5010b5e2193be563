// The lab's address: a link opens the same run at the same step and head, with the same curves and words. The query holds what
// Python reads when the page loads (`attnpanel.pages.lab.link`); the reader's notes stand in the fragment, which no server gets.

const PAUSE_MS = 200; // a browser refuses more than a few changes of its address a second

/** @type {Record<string, string>} */
let pending = {};
/** @type {?ReturnType<typeof setTimeout>} */
let timer = null;

/**
 * Changes parameters of the query; an empty text removes one.
 *
 * @param {Record<string, string>} changes
 */
export function changeQuery(changes) {
  pending = { ...pending, ...changes };
  timer ??= setTimeout(write, PAUSE_MS);
}

function write() {
  const address = new URL(location.href);
  for (const [name, text] of Object.entries(pending)) {
    if (text === "") address.searchParams.delete(name);
    else address.searchParams.set(name, text);
  }
  address.searchParams.sort(); // the same choices are the same address, in whatever order they were made
  pending = {};
  timer = null;
  replace(address);
}

/** @param {string} text */
function changeNotes(text) {
  const address = new URL(location.href);
  address.hash = text === "" ? "" : new URLSearchParams({ notes: text }).toString();
  replace(address);
}

/** @param {URL} address */
function replace(address) {
  if (address.href !== location.href) history.replaceState(null, "", address);
}

/**
 * Layer and head of "layer.head".
 *
 * @param {string | undefined} text untrusted
 * @param {{layers?: number, heads?: number}} run
 * @returns {?[number, number]} null where the run has no such head
 */
export function readHead(text, { layers = 0, heads = 0 }) {
  const [layer, head] = /^\d{1,3}\.\d{1,3}$/.test(text ?? "") ? String(text).split(".").map(Number) : [layers, heads];
  return layer < layers && head < heads ? [layer, head] : null;
}

/**
 * Keeps the shown run, the drawn curves and the notes in the address; invisible.
 *
 * @param {Props<{ choices: Record<string, string> }>} props
 */
export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;
  const draw = () => changeQuery(model.choices);
  model.on("choices", draw);
  if (model.choices.run) draw();
  const field = [...model.document._all_models.values()].find(({ css_classes }) => css_classes?.includes("lab-notes-field"));
  if (field) {
    const notes = new URLSearchParams(location.hash.slice(1)).get("notes") ?? "";
    if (notes !== "") field.setv({ value: notes.slice(0, field.max_length), value_input: notes.slice(0, field.max_length) });
    /** @type {?ReturnType<typeof setTimeout>} */
    let later = null;
    const keep = () => {
      clearTimeout(later ?? undefined);
      later = setTimeout(() => changeNotes(field.value_input ?? ""), PAUSE_MS);
    };
    for (const name of ["value", "value_input"]) field.properties[name].change.connect(keep);
  }
  return anchor;
}
