import { t } from "../core/translate.js";
import { element } from "./dom.js";

// Words and symbols of attention that explain themselves where a reader points at them or moves the focus to them.

// A function, so that bundles which show none hold none.
/** @type {() => Record<string, string>} */
const explanations = () => ({
  query: t("Query: what a token looks for, d numbers: one row of Q (T × d)."),
  key: t("Key: what a token can be found by, d numbers: one row of K (S × d)."),
  value: t("Value: what a token gives to those who look at it: one row of V (S × dᵥ)."),
  logits: t("Logits: the numbers that the model gives to each token of its vocabulary for the place after the query; a larger one makes the token more likely. Shown is what this head's output adds to them by itself, through the output projection, the final norm as it scaled this place, and the unembedding. What later layers make of it is not followed."),
  channel: t("Channel: one of the d numbers of a query and of a key, as their product saw them, after a rotary position embedding (RoPE). Where the capture saw which channels that turns together, such pairs are shown as one; otherwise channels stand alone."),
  "q·k": t("Dot product of query and key: multiplied channel by channel and added up. Large where both point the same way, negative where they point apart."),
  "√d": t("The square root of d, the number of channels of a query. Sums over more channels are larger; dividing by √d makes up for it."),
  τ: t("Temperature τ: the scores are divided by it before the softmax. Below 1 the largest weight grows, above 1 the weights even out."),
  Σ: t("Σ: the sum, over all keys that may be seen, of e to the power of their score. Dividing by it makes the row sum to 1."),
  softmax: t("Softmax: e to the power of each score, divided by the sum of them: weights above 0 that sum to 1."),
  mask: t("Mask: which keys a query may see. A hidden key gets the weight 0."),
  weight: t("Weight: the part of what a token becomes that is taken from one key, 0 to 1."),
  V: t("V: the values, a row a key. Each is multiplied by its weight, and the sum is what the token becomes."),
  entropy: t("Entropy, in nats: how widely a row is spread. 0 if one key takes all; ln S if all S keys take the same."),
});
const SYMBOLS = /q·k|√d|τ|Σ/;
const MARKED = /\[([^\]]+)\]/;
const GAP = 6;
const EDGE = 8;

/** @param {string} text @param {string} [word] of explanations */
function explained(text, word = text) {
  const node = element("span", "attn-word", text);
  node.tabIndex = 0;
  node.dataset.word = word;
  return node;
}

/**
 * A text as nodes in which the symbols of attention explain themselves. Never markup.
 *
 * @param {string} text
 * @returns {(string | HTMLElement)[]}
 */
export function withSymbols(text) {
  return text.split(new RegExp(`(${SYMBOLS.source})`)).map((part, at) => (at % 2 ? explained(part) : part)).filter(Boolean);
}

/**
 * A text of our own as nodes: what stands in brackets, and symbols, explain themselves.
 *
 * @param {string} text “a [query] looks”, or “[queries|query]” where the word has another form
 */
export function withWords(text) {
  return text.split(MARKED).flatMap((part, at) => {
    if (at % 2 === 0) return withSymbols(part);
    const [shown, word = shown] = part.split("|");
    return [explained(shown, word)];
  });
}

/** @type {?HTMLElement} */
let tip = null;
/** @type {?HTMLElement} */
let explainedWord = null;

function close() {
  tip?.remove();
  tip = explainedWord = null;
}

/** Follows a word that has the focus, which may have scrolled it into view; a scroll hides any other explanation. */
function follow() {
  const root = explainedWord?.getRootNode();
  const focused = (root instanceof Document || root instanceof ShadowRoot) && root.activeElement === explainedWord;
  if (tip && explainedWord && focused) place(explainedWord, tip);
  else close();
}

/** @param {HTMLElement} word @param {HTMLElement} shown its explanation */
function place(word, shown) {
  const at = word.getBoundingClientRect();
  const { width, height } = shown.getBoundingClientRect();
  const below = at.bottom + GAP + height + EDGE <= window.innerHeight;
  shown.style.left = `${Math.max(EDGE, Math.min(at.left, window.innerWidth - width - EDGE))}px`;
  shown.style.visibility = at.bottom < 0 || at.top > window.innerHeight ? "hidden" : "";
  shown.style.top = `${below ? at.bottom + GAP : Math.max(EDGE, at.top - GAP - height)}px`;
}

/** @param {HTMLElement} word */
function open(word) {
  close();
  explainedWord = word;
  tip = element("span", "attn-tip", explanations()[word.dataset.word ?? ""] ?? "");
  tip.id = "attn-tip";
  tip.setAttribute("role", "tooltip");
  word.setAttribute("aria-describedby", tip.id);
  /** @type {ParentNode} */ (word.getRootNode()).append(tip);
  if ("showPopover" in tip) {
    tip.popover = "manual"; // above everything, and clipped by nothing
    tip.showPopover();
  }
  place(word, tip);
}

const WATCHED = Symbol.for("attnpanel.words");

/** Explains the words of a page from now on; once a page, whichever component asks. */
export function watchWords() {
  const page = /** @type {any} */ (document);
  if (page[WATCHED]) return;
  page[WATCHED] = true;
  /** @param {Event} event */
  const look = (event) => {
    const path = event.composedPath();
    if (tip && path.includes(tip)) return;
    const [word] = path;
    if (word instanceof HTMLElement && word.matches(".attn-word")) open(word);
    else close();
  };
  document.addEventListener("pointerover", look);
  document.addEventListener("focusin", look);
  document.addEventListener("focusout", close);
  document.addEventListener("keydown", ({ key }) => {
    if (key === "Escape") close();
  });
  document.addEventListener("scroll", follow, { capture: true, passive: true });
}
