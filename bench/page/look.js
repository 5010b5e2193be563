// Light or dark, by the reader's preference, the address or a press; recolours every picture of the bench.
// Python writes each cell's colours twice, as the columns "fill@light" and "fill@dark".

const ROOT = (uid) => `attn-${uid}`;

export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;

  const recolour = (one, look, colours) => {
    const quietly = { sync: false };
    const name = one.name ?? "";
    if (one.css_classes?.includes(ROOT(model.uid))) {
      const others = one.css_classes.filter((css) => css !== "attn-dark" && css !== "attn-light");
      one.setv({ css_classes: [...others, `attn-${look}`] }, quietly);
    } else if (name.startsWith("bench:") && one.data && !one.glyph) {
      const columns = Object.entries(one.data);
      const own = columns.filter(([column]) => column.endsWith(`@${look}`));
      if (own.length === 0) return;
      const shown = own.map(([column, values]) => [column.split("@")[0], values]);
      one.setv({ data: Object.fromEntries([...columns, ...shown]) }, quietly);
    } else if (name === "bench:mapper") {
      one.setv({ palette: colours.palette, high_color: colours.beyond }, quietly);
    } else if (name === "attn:masked") {
      one.setv({ fill_color: colours.masked, hatch_color: colours.hatch }, quietly);
    } else if (name === "attn:outline") one.setv({ line_color: colours.accent }, quietly);
  };
  const draw = () => {
    const look = model.dark ? "dark" : "light";
    const page = document.documentElement;
    page.classList.toggle("attn-dark-page", model.dark);
    page.classList.toggle("attn-light-page", !model.dark);
    page.style.colorScheme = look;
    for (const one of [...model.document._all_models.values()]) recolour(one, look, model.colours[look]);
  };
  const onMessage = (event) => {
    if (event.detail.theme !== "toggle") return;
    model.dark = !model.dark;
    const choices = new URLSearchParams(location.hash.slice(1));
    choices.set("theme", model.dark ? "dark" : "light");
    history.replaceState(null, "", `#${choices}`);
  };

  document.addEventListener(`attn:message:${model.uid}`, onMessage);
  model.on("dark", draw);
  model.on("remove", () => document.removeEventListener(`attn:message:${model.uid}`, onMessage));
  if (!document.querySelector("meta[name=viewport]")) {
    const meta = document.createElement("meta"); // or a phone lays the page out 980 px wide
    meta.name = "viewport";
    meta.content = "width=device-width, initial-scale=1";
    document.head.append(meta);
  }
  const asked = new URLSearchParams(location.hash.slice(1)).get("theme");
  const dark = asked ? asked === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  if (dark !== model.dark) model.dark = dark;
  else draw();
  return anchor;
}
