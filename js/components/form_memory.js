// What a reader has typed and not sent yet, kept while a page is loaded anew after its server was away.

const FIELDS = /(TextInput|TextAreaInput|Spinner)$/;
const PLACE = "attnpanel:form:";

/** Storage of this browser window, which a browser may forbid. @returns {Storage} */
const windowStorage = () => window.sessionStorage;

/**
 * Models of a page by a name that they have again after it was loaded anew.
 *
 * @param {BokehDocument} page
 * @param {(model: BokehModel) => boolean} wanted
 * @returns {Map<string, BokehModel>}
 */
export function namedModels(page, wanted) {
  const found = new Map();
  for (const model of page._all_models.values()) {
    if (!wanted(model)) continue;
    const name = `${model.class_name ?? model.type} ${(model.css_classes ?? []).join(" ")}`;
    let number = 0;
    while (found.has(`${name} ${number}`)) number += 1;
    found.set(`${name} ${number}`, model);
  }
  return found;
}

/** @param {BokehDocument} page */
function fields(page) {
  return namedModels(page, ({ type }) => FIELDS.test(type ?? ""));
}

/** Whether something was kept for this page. */
export function hasForm() {
  try {
    return windowStorage().getItem(PLACE + window.location.pathname) !== null;
  } catch {
    return false; // a browser may refuse storage
  }
}

/**
 * Keeps what the fields hold.
 *
 * @param {BokehDocument} page
 */
export function writeForm(page) {
  const values = [...fields(page)].map(([name, model]) => [name, model.value_input || model.value]);
  try {
    windowStorage().setItem(PLACE + window.location.pathname, JSON.stringify(values));
  } catch {
    // a browser may refuse storage: what was typed is lost then
  }
}

/**
 * Takes back what was kept, once.
 *
 * @param {BokehDocument} page
 */
export function readForm(page) {
  let kept = null;
  try {
    const storage = windowStorage();
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
