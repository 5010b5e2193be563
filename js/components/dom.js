/**
 * Creates an element; a button does not submit a form.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} [css] its classes
 * @param {string} [text] set as text, never as markup
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, css = "", text = "") {
  const made = document.createElement(tag);
  if (css) made.className = css;
  if (text) made.textContent = text;
  if (tag === "button") made.setAttribute("type", "button");
  return made;
}

/** Adds a viewport element, without which phones lay the page out 980 px wide. */
export function ensureViewport() {
  if (document.querySelector("meta[name=viewport]")) return;
  const meta = element("meta");
  meta.name = "viewport";
  meta.content = "width=device-width, initial-scale=1";
  document.head.append(meta);
}
