// What a reader has typed and not sent yet, kept while a page is loaded anew after its server was away.

const FIELDS = /(TextInput|TextAreaInput|Spinner)$/;
const PLACE = "attnpanel:form:";

/**
 * The fields of a page by a name that they have again after it was loaded anew.
 *
 * @param {BokehDocument} page
 * @returns {Map<string, BokehModel>}
 */
function fields(page) {
  const found = new Map();
  for (const model of page._all_models.values()) {
    if (!FIELDS.test(model.type ?? "")) continue;
    const name = `${model.type} ${(model.css_classes ?? []).join(" ")}`;
    let number = 0;
    while (found.has(`${name} ${number}`)) number += 1;
    found.set(`${name} ${number}`, model);
  }
  return found;
}

/**
 * Keeps what the fields hold.
 *
 * @param {BokehDocument} page
 * @param {Storage} storage
 */
export function writeForm(page, storage) {
  const values = [...fields(page)].map(([name, model]) => [name, model.value_input || model.value]);
  try {
    storage.setItem(PLACE + window.location.pathname, JSON.stringify(values));
  } catch {
    // a browser may refuse storage: what was typed is lost then
  }
}

/**
 * Takes back what was kept, once.
 *
 * @param {BokehDocument} page
 * @param {Storage} storage
 */
export function readForm(page, storage) {
  let kept = null;
  try {
    kept = storage.getItem(PLACE + window.location.pathname);
    storage.removeItem(PLACE + window.location.pathname);
  } catch {
    // as above
  }
  if (kept === null) return;
  const now = fields(page);
  for (const [name, value] of JSON.parse(kept)) {
    const model = now.get(name);
    if (model && value !== null && value !== undefined && model.value !== value) model.setv({ value });
  }
}
