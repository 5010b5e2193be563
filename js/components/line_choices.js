import { t } from "../core/translate.js";
import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";

/**
 * @typedef {{heads: {head: number, number: number, colour: ?string}[], token: string, one: boolean, chosen: ?number,
 *   most: number, words: string}} LineContent heads: those of the layer, `colour` null where no lines are drawn;
 *   chosen: the head on screen; one: whether the lines are of the selected token only
 */

// Weights whose lines the scale shows, as wide and as opaque as in the plot.
const SCALE = [0.1, 0.5, 1];

/**
 * The legend of the line view, and what of it is drawn: heads in their colours, all tokens or one.
 *
 * @param {Props<Dispatching<{ content: Partial<LineContent> }>>} props
 */
export function render({ model }) {
  const root = element("div", "attn-lines-choice");
  const heads = element("div", "attn-lines-heads");
  heads.setAttribute("role", "group");
  heads.setAttribute("aria-label", t("Heads whose lines are drawn"));
  const tokens = element("div", "attn-lines-tokens");
  tokens.setAttribute("role", "group");
  tokens.setAttribute("aria-label", t("Tokens whose lines are drawn"));
  const words = element("p", "attn-lines-words");
  words.setAttribute("aria-live", "polite");
  root.append(heads, tokens, scale(), words);

  /** @param {string} label @param {boolean} pressed @param {?object} lines what it sends; null: nothing now */
  const choice = (label, pressed, lines) => {
    const button = element("button", "attn-lines-button", label);
    button.setAttribute("aria-pressed", String(pressed));
    if (lines === null) button.setAttribute("aria-disabled", "true");
    else button.addEventListener("click", () => dispatch(model, { lines }));
    return button;
  };

  const draw = () => {
    const { heads: all = [], token = "", one = false, chosen = null, most = 0, words: said = "" } = /** @type {Partial<LineContent>} */ (model.content);
    const shown = all.filter(({ colour }) => colour).map(({ head }) => head);
    const focused = [...heads.children].findIndex((button) => button.matches(":focus"));
    /** @param {LineContent["heads"][number]} row */
    const headChoice = ({ head, number, colour }) => {
      const others = colour ? shown.filter((other) => other !== head) : [...shown, head].sort((one, other) => one - other);
      // One head is always drawn, and no more than there are colours.
      const refused = others.length === 0 ? t("At least one head is drawn.") : others.length > most ? t("At most {count} heads at a time.", { count: most }) : "";
      const button = choice(String(number), Boolean(colour), refused ? null : { heads: others });
      button.classList.add("attn-lines-head");
      button.setAttribute("aria-label", t("Head {head}", { head: number }));
      button.title = refused || (colour ? t("Leave out the lines of head {head}", { head: number }) : t("Draw the lines of head {head}", { head: number }));
      if (colour) button.style.setProperty("--head", colour);
      return button;
    };
    heads.replaceChildren(...all.map(headChoice));
    const first = all.slice(0, most).map(({ head }) => head);
    heads.append(choice(all.length > most ? t("first {count}", { count: most }) : t("all"), String(shown) === String(first), { heads: [] }));
    if (chosen !== null && all.length > 1) {
      heads.append(choice(t("only {head}", { head: all[chosen]?.number }), String(shown) === String([chosen]), { heads: [chosen] }));
    }
    tokens.replaceChildren(choice(t("all tokens"), !one, { one: false }), choice(t("only {token}", { token }), one, { one: true }));
    words.textContent = said;
    if (focused >= 0) /** @type {HTMLElement | undefined} */ (heads.children[focused])?.focus();
  };
  model.on("content", draw);
  draw();
  return root;
}

/** What a line's width and opacity say. */
function scale() {
  const line = element("div", "attn-lines-scale");
  line.append(element("span", "", t("width, opacity: weight 0–1")));
  for (const weight of SCALE) {
    const sample = element("span", "attn-lines-sample", String(weight));
    const stroke = element("i");
    stroke.style.height = `${0.5 + 3.5 * weight}px`;
    stroke.style.opacity = String(weight);
    sample.prepend(stroke);
    line.append(sample);
  }
  return line;
}
