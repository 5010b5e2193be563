import { t } from "../core/translate.js";
import { dispatch } from "../components/dispatch.js";
import { element } from "../components/dom.js";

// The heads that differ most, as buttons, and the choice of their ranking. Texts go through textContent.
/**
 * @param {Props<Dispatching<{ heads: { layer: number, head: number, text: string, share: string, current: boolean }[], every: boolean, none: string }>>} props
 */
export function render({ model }) {
  const root = element("div", "attn-ranking");
  const by = element("div", "attn-ranking-by");
  const list = element("ol");
  const choices = [
    { every: false, text: t("this token") },
    { every: true, text: t("all tokens") },
  ].map(({ every, text }) => {
    const button = element("button", "attn-plain-button", text);
    button.addEventListener("click", () => dispatch(model, { every }));
    by.append(button);
    return { every, button };
  });
  root.append(by, list);
  const draw = () => {
    for (const { every, button } of choices) button.setAttribute("aria-pressed", String(every === model.every));
    list.replaceChildren(
      ...model.heads.map(({ layer, head, text, share, current }) => {
        const item = element("li");
        const button = element("button", "attn-link-button", text);
        button.addEventListener("click", () => dispatch(model, { place: [layer, head] }));
        const said = element("span", "", `${share}${current ? ` · ${t("shown")}` : ""}`);
        item.append(button, said);
        return item;
      }),
    );
    if (model.heads.length === 0) {
      const none = element("li", "", model.none);
      list.replaceChildren(none);
    }
  };
  model.on(["heads", "every", "none"], draw);
  draw();
  return root;
}
