// The boxes of a plot, around the selection and around the shown pair.

/**
 * Sets the properties that differ.
 *
 * @param {BokehModel} model
 * @param {Record<string, unknown>} target
 */
export function setIfOther(model, target) {
  const differs = Object.entries(target).filter(([name, value]) => model[name] !== value);
  if (differs.length) model.setv(Object.fromEntries(differs));
}

/**
 * The sides of a ring, as of an outline; null where the pair has no place.
 *
 * @typedef {() => [Plot, ?(number | null)[]][]} Rings
 */

/**
 * Moves the ring around the shown pair.
 *
 * @param {ReturnType<Rings>} rings
 * @param {Theme} theme
 */
export function moveRings(rings, { card, ink }) {
  for (const [plot, sides] of rings) {
    for (const [at, box] of plot.rings.entries()) {
      const target = sides === null ? {} : { ...boxOf(sides), line_color: [card, ink][at] };
      setIfOther(box, { visible: sides !== null, ...target });
    }
  }
}

/** @param {Plot} plot @param {(number | null)[]} outline */
export function moveOutline(plot, outline) {
  plot.outline?.setv(boxOf(outline));
}

/**
 * The sides of a box that are not the plot's own edges, which it has from the beginning.
 *
 * @param {(number | null)[]} outline
 */
function boxOf([left, right, first, last]) {
  return { ...(left === null ? {} : { left, right }), ...(first === null ? {} : { top: last, bottom: first }) };
}
