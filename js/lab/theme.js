// The theme: by the URL, else by the system's preference, until the button is pressed.
import { ensureViewport } from "../components/dom.js";
import { fitToPaper } from "../components/print.js";

/** @param {Props<{ explorer_id: string }>} props */
export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;
  const asked = () => new URLSearchParams(location.search).get("theme") ?? new URLSearchParams(location.hash.slice(1)).get("theme");
  let dark = asked() ? asked() === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  const draw = () => {
    const theme = dark ? "dark" : "light";
    const page = document.documentElement;
    page.classList.toggle("attn-dark-page", dark);
    page.classList.toggle("attn-light-page", !dark);
    page.style.colorScheme = theme;
    for (const one of model.document._all_models.values()) {
      if (!one.css_classes?.includes(`attn-${model.explorer_id}`)) continue;
      const others = one.css_classes.filter((css) => css !== "attn-dark" && css !== "attn-light");
      one.setv({ css_classes: [...others, `attn-${theme}`] }, { sync: false });
    }
    document.dispatchEvent(new CustomEvent("attn:theme"));
  };
  /** @param {any} event */
  const onMessage = (event) => {
    if (event.detail.theme !== "toggle") return;
    dark = !dark;
    const address = new URL(location.href);
    address.searchParams.set("theme", dark ? "dark" : "light");
    // Not every browser allows a query in a file's URL; the fragment always works.
    if (location.protocol === "file:") {
      const choices = new URLSearchParams(location.hash.slice(1));
      choices.set("theme", dark ? "dark" : "light");
      history.replaceState(null, "", `#${choices}`);
    } else history.replaceState(null, "", address);
    draw();
  };

  document.addEventListener(`attn:message:${model.explorer_id}`, onMessage);
  const unfit = fitToPaper(`attn-${model.explorer_id}`);
  model.on("remove", () => {
    document.removeEventListener(`attn:message:${model.explorer_id}`, onMessage);
    unfit();
  });
  ensureViewport();
  draw();
  return anchor;
}
