// Look-up of the models of one explorer or comparison: a document may contain several, whose models have equal names.

const ROOT = "attn-root";

/**
 * Every Bokeh model of the explorer that a component belongs to.
 *
 * @param {{document: BokehDocument, data: BokehModel}} component a component's model, as Panel hands it to `render`
 * @returns {BokehModel[]} all of the document's where it holds one explorer, parts of the page around it included
 */
export function modelsOf(component) {
  const all = [...component.document._all_models.values()];
  const roots = all.filter((model) => model.css_classes?.includes(ROOT));
  if (roots.length < 2) return all;
  for (const root of roots) {
    const own = root.references();
    if (own.has(component.data)) return [...own];
  }
  return all;
}

/**
 * Stops models from sending their changes to Python. `sync: false` is not enough: a notebook's channel ignores it, and
 * Python would return an old value later, over the reader's next change.
 *
 * @param {Iterable<BokehModel>} models
 */
export function keepOnPage(models) {
  for (const model of models) {
    if (model.is_syncable) Object.defineProperty(model, "is_syncable", { value: false, configurable: true });
  }
}

/**
 * Sets values of components without sending them to Python.
 *
 * @param {{data: BokehModel}[] | undefined} models
 * @param {Record<string, unknown>} values
 */
export function writeComponents(models, values) {
  for (const model of models ?? []) {
    keepOnPage([model.data]);
    model.data.setv(values);
  }
}

/**
 * Shows or hides components without sending that to Python.
 *
 * @param {BokehModel[] | undefined} models
 * @param {boolean} visible
 */
export function showComponents(models, visible) {
  for (const model of models ?? []) {
    keepOnPage([model]);
    if (model.visible !== visible) model.setv({ visible });
  }
}

/**
 * The model with a name; null if there is none.
 *
 * @param {BokehModel[]} models
 * @param {string} name
 */
export function modelNamed(models, name) {
  return models.find((model) => model.name === name) ?? null;
}

/** Whether the page is a notebook converted to HTML, which has no kernel to answer. */
export function lacksKernel() {
  return document.body.classList.contains("jp-Notebook") && Object.keys(/** @type {any} */ (window).PyViz?.kernels ?? {}).length === 0;
}
