import { t } from "../core/translate.js";
import { element } from "../components/dom.js";

// Selects the family of calls that the charts show, by writing its data into them.

/**
 * The data of a family for one chart; `x` and `y` are the ends of its axes.
 *
 * @typedef {{empty: string, subtitle: string, height: number, x: [number, number], y: [number, number], x_title: string,
 *   x_ticks: [number[], string[]], y_ticks: [number[], string[]], names: [number[], string[]],
 *   sources: Record<string, Columns>}} Chart
 */

/** @param {Props<{ families: { name: string, charts: Record<string, Chart>, caption: string }[] }>} props */
export function render({ model }) {
  const box = element("label", "bench-choice");
  const title = element("span", "", t("Calls"));
  const select = element("select", "bk-input");
  select.setAttribute("aria-label", t("Calls")); // else its options would be part of its name
  select.append(
    ...model.families.map(({ name }, place) => {
      const option = element("option", "", name);
      option.value = String(place);
      option.translate = false; // names of cases
      return option;
    }),
  );
  box.append(title, select);
  const quietly = { sync: false };
  /** @param {string} css */
  const caption = (css) => [...model.document._all_models.values()].find((bokehModel) => bokehModel.css_classes?.includes(css));

  /** @param {string} name @param {Chart} chart */
  const show = (name, chart) => {
    caption(`bench-title-${name}`)?.data.setv({ subtitle: chart.empty || chart.subtitle }, quietly);
    const figure = model.document.get_model_by_name(`bench:plot:${name}`);
    if (!figure) return;
    // Changes of layout first, sources, which paint, last.
    figure.setv({ frame_height: chart.height, visible: chart.empty === "" }, quietly);
    for (const [range, [start, end]] of [[figure.x_range, chart.x], [figure.y_range, chart.y]]) {
      range.setv({ start, end, reset_start: start, reset_end: end }, quietly);
    }
    const axes = [figure.below[0], figure.left[0], figure.right[0]];
    [chart.x_ticks, chart.y_ticks, chart.names].forEach(([places, texts], i) => {
      axes[i].formatter.setv({ args: { places, words: texts } }, quietly);
      axes[i].ticker.setv({ ticks: places }, quietly);
    });
    axes[0].setv({ axis_label: chart.x_title }, quietly);
    for (const [part, columns] of Object.entries(chart.sources)) {
      const source = model.document.get_model_by_name(`bench:${name}:${part}`);
      source?.setv({ data: columns }, quietly);
    }
  };
  select.addEventListener("change", () => {
    const family = model.families[Number(select.value)];
    for (const [name, chart] of Object.entries(family.charts)) show(name, chart);
    caption("bench-caption")?.data.setv({ text: family.caption }, quietly);
  });
  return box;
}
