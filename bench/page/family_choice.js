// Chooses which calls the charts show: another family's numbers go into the charts that are there.

export function render({ model }) {
  const box = document.createElement("label");
  box.className = "bench-choice";
  const title = document.createElement("span");
  title.textContent = "Calls";
  const select = document.createElement("select");
  select.className = "bk-input";
  select.setAttribute("aria-label", "Calls"); // else its options were part of its name
  select.append(
    ...model.families.map(({ name }, place) => {
      const option = document.createElement("option");
      option.value = place;
      option.textContent = name;
      return option;
    }),
  );
  box.append(title, select);
  const quietly = { sync: false };
  const words = (css) => [...model.document._all_models.values()].find((one) => one.css_classes?.includes(css));

  const show = (name, chart) => {
    words(`bench-title-${name}`)?.data.setv({ aside: chart.empty || chart.aside }, quietly);
    const figure = model.document.get_model_by_name(`bench:plot:${name}`);
    if (!figure) return;
    // All that lays the page out comes first; the sources, which paint, last.
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
      source.setv({ data: columns }, quietly);
    }
  };
  select.addEventListener("change", () => {
    const family = model.families[Number(select.value)];
    for (const [name, chart] of Object.entries(family.charts)) show(name, chart);
    words("bench-caption")?.data.setv({ text: family.caption }, quietly);
  });
  return box;
}
