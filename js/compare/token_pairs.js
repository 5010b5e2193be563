import { t } from "../core/translate.js";
import { dispatch } from "../components/dispatch.js";
import { element } from "../components/dom.js";

/**
 * Two texts, one below the other, each token shaded by its weight. A token is never markup.
 *
 * @param {string} text
 */
const legible = (text) => (text.trim() === "" ? JSON.stringify(text).slice(1, -1).replaceAll(" ", "␣") : text);

/**
 * @typedef {{side: string, names: (string | null)[], shades: string[], inks: string[], weights: string[],
 *   selected: number, places: number[]}} TokenRow
 */

/** @param {Props<Dispatching<{ rows: TokenRow[], same: boolean }>>} props */
export function render({ model }) {
  const root = element("div", "attn-token-pairs");
  const draw = () => {
    root.replaceChildren(
      ...model.rows.map(({ side, names, shades, inks, weights, selected, places }) => {
        const row = element("div", "attn-chips");
        const mark = element("b", `attn-side-${side.toLowerCase()}`, side);
        row.append(mark);
        for (const [at, name] of names.entries()) {
          if (name === null) continue; // not in this text
          const chip = element("button", "", legible(name));
          chip.translate = false;
          chip.tabIndex = -1; // the arrow keys move the token
          chip.style.background = shades[at];
          chip.style.color = inks[at];
          chip.title = `${places[at]} · ${t("weight {weight}", { weight: weights[at] })}`;
          chip.classList.toggle("selected", model.same && places[at] === selected);
          chip.addEventListener("click", () => dispatch(model, { [model.same ? "row" : "column"]: at }));
          row.append(chip);
        }
        return row;
      }),
    );
  };
  model.on("rows", draw);
  draw();
  return root;
}
