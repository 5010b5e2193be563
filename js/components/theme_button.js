import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { t } from "../core/translate.js";

/**
 * A button that toggles the theme, and before it a choice of the page's language where there is one.
 *
 * @param {Props<Dispatching<{ languages: Record<string, string>, language: string }>>} props
 */
export function render({ model }) {
  const button = element("button", "attn-plain-button attn-theme-button", "◐");
  button.title = t("Light or dark");
  button.setAttribute("aria-label", button.title);
  button.addEventListener("click", () => dispatch(model, { theme: "toggle" }));
  if (Object.keys(model.languages).length === 0) return button;
  const both = element("div", "attn-language-and-theme");
  both.append(languageChoice(model), button);
  return both;
}

/**
 * Shows the code of the language; its list has the names. Another one loads the page anew, at its present address.
 *
 * @param {{ languages: Record<string, string>, language: string }} model
 */
function languageChoice({ languages, language }) {
  const choice = element("label", "attn-language", language);
  const select = element("select");
  select.setAttribute("aria-label", t("Language"));
  select.append(...Object.entries(languages).map(([code, name]) => Object.assign(element("option", "", name), { value: code, lang: code })));
  select.value = language;
  select.addEventListener("change", () => {
    const address = new URL(window.location.href);
    address.searchParams.set("lang", select.value);
    window.location.assign(address);
  });
  choice.title = t("Language");
  choice.append(select);
  return choice;
}
