import { t } from "../core/translate.js";
import { element } from "./dom.js";

/**
 * Shows a list of keys above the page until it is closed; the focus then returns to where it was.
 *
 * @param {ParentNode} place where the page's stylesheet applies
 * @param {{shown: string, words: string}[]} rows
 */
export function showKeys(place, rows) {
  const dialog = element("dialog", "attn-keys");
  const title = element("h2", "", t("Keys"));
  title.id = "attn-keys-title";
  dialog.setAttribute("aria-labelledby", title.id);
  const list = element("dl");
  for (const { shown, words } of rows) {
    const keys = element("dt");
    keys.append(...shown.split(" ").flatMap((key) => (key === "+" ? [" + "] : [element("kbd", "", key), " "])));
    list.append(keys, element("dd", "", words));
  }
  const close = element("button", "attn-plain-button", t("Close"));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", ({ target }) => {
    if (target === dialog) dialog.close(); // beside the list
  });
  dialog.append(title, list, element("p", "", t("While a field or a slider has the focus, its own keys apply.")), close);
  place.append(dialog);
  dialog.showModal();
}
