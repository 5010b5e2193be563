import { below } from "../components/accessibility.js";

// One drawn page takes another's place: the second adopts what the first shows, then the first is removed.

// What a reader has opened or pressed; sliders and Bokeh's own buttons follow from the state.
const OPENED = "details";
const EXPANDED = "button[aria-expanded]";
const PRESSED = "button[aria-pressed]:not(.bk-btn)";
const TYPED = "textarea, input[type=text], input:not([type])";
const FOCUSABLE = "button, input, textarea, select, summary, a, [tabindex]";

/**
 * Elements below a node by a name that they have in both pages.
 *
 * @param {Element} root
 * @param {string} selector
 * @returns {Map<string, Element>}
 */
function namedElements(root, selector) {
  const found = new Map();
  for (const node of below(root)) {
    if (!node.matches(selector)) continue;
    const { host } = /** @type {ShadowRoot} */ (node.getRootNode());
    const around = [...(host?.classList ?? [])].filter((css) => /^attn-[a-z-]+$/.test(css) && css !== "attn-dark" && css !== "attn-light");
    const label = node.getAttribute("aria-label") ?? (node instanceof HTMLButtonElement ? node.textContent : "");
    const name = `${around.join(" ")} ${node.localName} ${label}`;
    let number = 0;
    while (found.has(`${name} ${number}`)) number += 1;
    found.set(`${name} ${number}`, node);
  }
  return found;
}

/**
 * Calls a function with each element of one page and its like in the other.
 *
 * @param {Element} from
 * @param {Element} to
 * @param {string} selector
 * @param {(old: any, now: any) => void} follow
 */
function each(from, to, selector, follow) {
  const now = namedElements(to, selector);
  for (const [name, old] of namedElements(from, selector)) {
    const like = now.get(name);
    if (like) follow(old, like);
  }
}

/** The element with the focus, inside all shadow roots; null if it is the page. */
function focused() {
  let node = document.activeElement;
  while (node?.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
  return node === document.body ? null : node;
}

/** @param {BokehDocument} page */
function explorerId(page) {
  return [...page._all_models.values()].find(({ class_name }) => class_name === "BrowserDriver")?.data.explorer_id;
}

/**
 * Removes a document from the page.
 *
 * @param {BokehDocument} page
 */
export function dismiss(page) {
  page.clear();
  Bokeh.documents.splice(Bokeh.documents.indexOf(page), 1);
}

const frame = () => new Promise((then) => setTimeout(then, 40));

/**
 * @param {BokehDocument} page the one that is on screen
 * @param {BokehDocument} live the one that takes its place
 * @param {HTMLElement} place where that is drawn, out of sight
 * @param {() => Promise<void>} drawn waits until it shows its state
 */
export async function takePlace(page, live, place, drawn) {
  const old = /** @type {HTMLElement} */ (document.getElementById("attnpanel-drawn"));
  const id = explorerId(live);
  /** @param {object} message */
  const tell = (message) => document.dispatchEvent(new CustomEvent(`attn:message:${explorerId(page)}`, { detail: message }));
  tell({ hand_over: id });
  await drawn();
  // What is opened first is built then.
  each(old, place, OPENED, (was, now) => (now.open = was.open));
  each(old, place, EXPANDED, (was, now) => {
    if (was.getAttribute("aria-expanded") !== now.getAttribute("aria-expanded")) now.click();
  });
  await frame();
  each(old, place, PRESSED, (was, now) => {
    if (was.getAttribute("aria-pressed") === "true" && now.getAttribute("aria-pressed") !== "true") now.click();
  });
  await drawn();

  // From here on in one go: the reader moves the one page until now, and the other from now on.
  tell({ hand_over: id, last: id });
  each(old, place, TYPED, (was, now) => {
    if (was.value === now.value) return;
    now.value = was.value;
    now.dispatchEvent(new Event("input", { bubbles: true }));
  });
  const kept = focused();
  const name = kept && [...namedElements(old, FOCUSABLE)].find(([, node]) => node === kept)?.[0];
  const { scrollX, scrollY } = window;
  place.style.cssText = "";
  dismiss(page);
  old.remove();
  window.scrollTo(scrollX, scrollY);
  const next = name && namedElements(place, FOCUSABLE).get(name);
  if (next instanceof HTMLElement) next.focus({ preventScroll: true });
}
