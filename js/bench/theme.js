import "../bokeh_patches/accessible_names.js";
import "../bokeh_patches/number_bounds.js";
import { ensureViewport } from "../components/dom.js";
import { fitToPaper } from "../components/print.js";

// The theme, by the system's preference, the URL or the button; recolours every plot of the bench. Data sources have
// colours for both themes, as the columns "fill@light" and "fill@dark".

/** @param {string} explorer_id */
const ROOT = (explorer_id) => `attn-${explorer_id}`;

/** @param {Props<{ explorer_id: string, dark: boolean, colours: Record<string, Record<string, any>> }>} props */
export function render({ model }) {
  const anchor = document.createElement("span");
  anchor.hidden = true;

  /** @param {BokehModel} bokehModel @param {string} theme @param {Record<string, any>} colours */
  const recolour = (bokehModel, theme, colours) => {
    const quietly = { sync: false };
    const name = bokehModel.name ?? "";
    if (bokehModel.css_classes?.includes(ROOT(model.explorer_id))) {
      const others = bokehModel.css_classes.filter((css) => css !== "attn-dark" && css !== "attn-light");
      bokehModel.setv({ css_classes: [...others, `attn-${theme}`] }, quietly);
    } else if (name.startsWith("bench:") && bokehModel.data && !bokehModel.glyph) {
      const columns = Object.entries(bokehModel.data);
      const own = columns.filter(([column]) => column.endsWith(`@${theme}`));
      if (own.length === 0) return;
      const shown = own.map(([column, values]) => [column.split("@")[0], values]);
      bokehModel.setv({ data: Object.fromEntries([...columns, ...shown]) }, quietly);
    } else if (name === "bench:mapper") {
      bokehModel.setv({ palette: colours.palette, high_color: colours.beyond }, quietly);
    } else if (name === "attn:masked") {
      bokehModel.setv({ fill_color: colours.masked, hatch_color: colours.hatch }, quietly);
    } else if (name === "attn:outline") bokehModel.setv({ line_color: colours.accent }, quietly);
  };
  const draw = () => {
    const theme = model.dark ? "dark" : "light";
    const page = document.documentElement;
    page.classList.toggle("attn-dark-page", model.dark);
    page.classList.toggle("attn-light-page", !model.dark);
    page.style.colorScheme = theme;
    for (const bokehModel of [...model.document._all_models.values()]) recolour(bokehModel, theme, model.colours[theme]);
  };
  /** @param {any} event */
  const onMessage = (event) => {
    if (event.detail.theme !== "toggle") return;
    model.dark = !model.dark;
    const choices = new URLSearchParams(location.hash.slice(1));
    choices.set("theme", model.dark ? "dark" : "light");
    history.replaceState(null, "", `#${choices}`);
  };

  document.addEventListener(`attn:message:${model.explorer_id}`, onMessage);
  model.on("dark", draw);
  const unfit = fitToPaper(ROOT(model.explorer_id));
  model.on("remove", () => {
    document.removeEventListener(`attn:message:${model.explorer_id}`, onMessage);
    unfit();
  });
  ensureViewport();
  const asked = new URLSearchParams(location.hash.slice(1)).get("theme");
  const dark = asked ? asked === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  if (dark !== model.dark) model.dark = dark;
  else draw();
  return anchor;
}
