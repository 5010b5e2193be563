import { t } from "../core/translate.js";
import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";

// The tokens as text, shaded by weight. Every text goes through textContent: a token is never markup.
/**
 * @typedef {HTMLButtonElement & {shade?: string}} Chip with its current colour
 * @typedef {{shades?: string[], inks: string[], weights: string[], selected: number}} Shades
 */

/** @param {string} text */
const readable = (text) => (text.trim() === "" ? JSON.stringify(text).slice(1, -1).replaceAll(" ", "␣") : text);

// A text of so many characters fits any strip. Chips that clip nothing save the browser a clip each: of 1,024, 30 ms a frame.
const SHORT = 12;

/** @param {Chip} chip @param {string} text */
function name(chip, text) {
  if (chip.textContent === text) return;
  chip.textContent = text;
  chip.classList.toggle("short", text.length <= SHORT);
}

/**
 * @param {HTMLElement} parent
 * @param {number} count
 * @param {(index: number) => void} onPick
 * @returns {HTMLCollectionOf<Chip>}
 */
function chips(parent, count, onPick) {
  while (parent.children.length > count) parent.lastChild?.remove();
  while (parent.children.length < count) {
    const chip = element("button");
    const index = parent.children.length;
    chip.tabIndex = -1; // the arrow keys move the token; hundreds of tab stops would not help
    chip.addEventListener("click", () => onPick(index));
    parent.append(chip);
  }
  return /** @type {HTMLCollectionOf<Chip>} */ (parent.children);
}

/**
 * Scrolls the selected token into view inside its box, without scrolling the page.
 *
 * @param {HTMLElement} box
 * @param {HTMLElement | undefined} chosen
 */
function seek(box, chosen) {
  if (!chosen?.isConnected) return;
  const { offsetTop, offsetHeight } = chosen;
  const top = offsetTop - box.offsetTop;
  if (top < box.scrollTop || top + offsetHeight > box.scrollTop + box.clientHeight) {
    box.scrollTop = top - box.clientHeight / 2;
  }
}

/** @param {Props<Dispatching<{ names: { keys?: string[], queries?: string[], origins?: string[], note?: string }, content: Shades }>>} props */
export function render({ model }) {
  const root = element("div");
  const queries = element("div");
  const keys = element("div");
  root.className = "attn-tokens";
  queries.className = keys.className = "attn-chips";
  queries.translate = keys.translate = false;
  const note = element("p", "attn-tokens-note");
  root.append(queries, keys, note);
  // Tooltips are set on hover: hundreds of them change with every step.
  keys.addEventListener("pointerover", ({ target }) => {
    const chip = /** @type {HTMLElement} */ (target);
    const index = [...keys.children].indexOf(chip);
    const origin = model.names.origins?.[index];
    if (index >= 0) chip.title = `${index} · ${t("weight {weight}", { weight: model.content.weights[index] })}${origin ? ` · ${t("from “{text}”", { text: origin })}` : ""}`;
  });

  /** @type {Element | undefined} */
  let sought;
  const draw = () => {
    const { keys: names = [], queries: others = [] } = model.names;
    const { shades = [], inks, selected } = model.content;
    note.textContent = model.names.note ?? "";
    note.hidden = note.textContent === "";
    if (shades.length !== names.length) return; // the other of the two properties has not arrived yet
    const crossed = others.length > 0;
    queries.hidden = !crossed;
    const looking = chips(queries, others.length, (i) => dispatch(model, { token: i }));
    for (let i = 0; i < looking.length; i++) {
      name(looking[i], readable(others[i]));
      looking[i].classList.toggle("selected", i === selected);
      looking[i].title = t("query {index}", { index: i });
    }
    const seen = chips(keys, names.length, (i) => dispatch(model, { [keys.dataset.sends ?? "token"]: i }));
    keys.dataset.sends = crossed ? "key" : "token";
    for (let i = 0; i < seen.length; i++) {
      const chip = seen[i];
      name(chip, readable(names[i]));
      // Of hundreds of tokens most keep their shade: skip them to avoid style recalculation.
      if (chip.shade !== shades[i]) {
        chip.shade = shades[i];
        chip.style.backgroundColor = shades[i];
        chip.style.color = inks[i];
      }
      const pressed = String(!crossed && i === selected);
      if (chip.ariaPressed !== pressed) {
        chip.ariaPressed = pressed;
        chip.classList.toggle("selected", pressed === "true");
      }
    }
    const box = crossed ? queries : keys;
    const chosen = /** @type {Chip | undefined} */ (box.children[selected]);
    // In the next frame, after layout: reading positions now would force another layout.
    if (chosen !== sought) requestAnimationFrame(() => seek(box, chosen));
    sought = chosen;
  };
  model.on(["names", "content"], draw);
  draw();
  return root;
}
