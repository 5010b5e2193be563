/**
 * Creates an SVG element.
 *
 * @param {string} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {(Node | string)[]} children strings are set as text
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/**
 * A colour of a palette that is spread over 0 to 1.
 *
 * @param {string[]} palette
 * @param {number} part
 */
export function shade(palette, part) {
  return palette[Math.round(Math.min(Math.max(part, 0), 1) * (palette.length - 1))];
}
