// Light or dark: by the address, else by what the reader's system prefers, until the button is pressed.
// What mends the form's controls, sayControls and onFocus, is attnpanel/browser/controls_said.js, put before this.
export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;
  const asked = () => new URLSearchParams(location.search).get("theme") ?? new URLSearchParams(location.hash.slice(1)).get("theme");
  let dark = asked() ? asked() === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

  const draw = () => {
    const look = dark ? "dark" : "light";
    const page = document.documentElement;
    page.classList.toggle("attn-dark-page", dark);
    page.classList.toggle("attn-light-page", !dark);
    page.style.colorScheme = look;
    for (const one of model.document._all_models.values()) {
      if (!one.css_classes?.includes(`attn-${model.uid}`)) continue;
      const others = one.css_classes.filter((css) => css !== "attn-dark" && css !== "attn-light");
      one.setv({ css_classes: [...others, `attn-${look}`] }, { sync: false });
    }
    document.dispatchEvent(new CustomEvent("attn:look"));
  };
  const onMessage = (event) => {
    if (event.detail.theme !== "toggle") return;
    dark = !dark;
    const address = new URL(location.href);
    address.searchParams.set("theme", dark ? "dark" : "light");
    // A file's address takes no query in every browser: the fragment does.
    if (location.protocol === "file:") history.replaceState(null, "", `#theme=${dark ? "dark" : "light"}`);
    else history.replaceState(null, "", address);
    draw();
  };

  document.addEventListener(`attn:message:${model.uid}`, onMessage);
  document.addEventListener("focusin", onFocus);
  model.on("after_render", () => setTimeout(() => sayControls(document.body), 0));
  model.on("remove", () => {
    document.removeEventListener(`attn:message:${model.uid}`, onMessage);
    document.removeEventListener("focusin", onFocus);
  });
  if (!document.querySelector("meta[name=viewport]")) {
    const meta = document.createElement("meta"); // or a phone lays the page out 980 px wide
    meta.name = "viewport";
    meta.content = "width=device-width, initial-scale=1";
    document.head.append(meta);
  }
  draw();
  return anchor;
}
