/** The patches of this page by name; false if Bokeh or Panel lack a patched member. */
const PATCHES = Symbol.for("attnpanel.patches");

/** @returns {Map<string, boolean>} one a page, whichever bundle asks */
function patches() {
  const page = /** @type {Record<symbol, Map<string, boolean>>} */ (/** @type {unknown} */ (globalThis));
  return (page[PATCHES] ??= new Map());
}

/**
 * The result of a function; null if it throws, as Bokeh's `require` does for a module that this version lacks.
 *
 * @template A
 * @param {() => A} find
 */
function attempt(find) {
  try {
    return find();
  } catch {
    return null;
  }
}

/**
 * Patches Bokeh or Panel once a page, if this version has the patched members.
 *
 * Every bundle of a page calls this, including the Worker, which has no Bokeh.
 *
 * @param {string} name the patch's file
 * @param {(bokeh: BokehLibrary) => [object: any, ...members: string[]][]} find what is patched, and its members
 * @param {(...objects: any[]) => void} apply takes the objects found
 * @returns {boolean} whether the page has the patch
 */
export function patch(name, find, apply) {
  const bokeh = globalThis.Bokeh;
  if (!bokeh) return false;
  if (patches().has(name)) return patches().get(name) === true;
  const found = attempt(() => find(bokeh));
  const applies = found !== null && found.every(([object, ...members]) => object && members.every((member) => member in object));
  patches().set(name, applies);
  if (applies) apply(...found.map(([object]) => object));
  return applies;
}
