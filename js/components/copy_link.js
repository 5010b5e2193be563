import { t } from "../core/translate.js";
import { element } from "./dom.js";

// Copies the page's URL, which holds the whole state.
export function render() {
  const button = element("button", "attn-plain-button attn-icon-link", t("Copy link"));
  button.title = t("Copy link");
  button.addEventListener("click", async () => {
    let said = t("Copied");
    try {
      await navigator.clipboard.writeText(window.location.href);
    } catch {
      said = t("Copy it from the address bar"); // no clipboard access over plain http, except on localhost
    }
    /** @param {string} text @param {boolean} icon whether a narrow page may show its icon instead */
    const show = (text, icon) => {
      button.textContent = text;
      button.classList.toggle("attn-icon-link", icon);
    };
    show(said, false);
    setTimeout(() => show(t("Copy link"), true), 1600);
  });
  return button;
}
