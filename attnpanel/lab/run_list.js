// The kept runs: which are drawn, which is followed, how far each is; pause, stop, rename, delete.
// Names are somebody's words: they are set as text, never as markup.

const make = (tag, css, text) => {
  const element = document.createElement(tag);
  if (css) element.className = css;
  if (text !== undefined) element.textContent = text;
  if (tag === "button") element.type = "button";
  return element;
};

export function render({ model }) {
  const list = make("ul", "lab-runs");
  const empty = make("p", "attn-words muted", "No run yet. Start one above: the default shows its head within a minute.");
  const rows = new Map();
  const tell = (what, run, more = {}) => model.send_msg({ do: what, run, ...more });

  const makeRow = (id) => {
    const row = {
      item: make("li", "lab-run"),
      box: make("input"),
      chip: make("i", "lab-chip"),
      name: make("button", "lab-name"),
      state: make("span", "lab-state"),
      bar: make("progress"),
      actions: make("div", "lab-actions"),
      asked: 0, // the timer that takes “Really delete?” back; 0 when it isn't asked
    };
    row.box.type = "checkbox";
    row.box.addEventListener("change", () => tell("show", id, { on: row.box.checked }));
    row.name.addEventListener("click", () => tell("follow", id));
    const head = make("div", "lab-run-head");
    head.append(row.box, row.chip, row.name);
    row.item.append(head, row.state, row.bar, row.actions);
    rows.set(id, row);
    return row;
  };

  const rename = (row, run) => {
    const field = make("input", "lab-rename");
    field.value = run.name;
    field.maxLength = 80;
    field.setAttribute("aria-label", `New name of ${run.name}`);
    let ended = false; // taking the field away blurs it, which would end it once more
    const end = (keep) => {
      if (ended) return;
      ended = true;
      const name = field.value.trim();
      field.replaceWith(row.name);
      if (keep && name && name !== run.name) tell("rename", run.id, { name });
      row.name.focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
      event.stopPropagation();
    });
    field.addEventListener("blur", () => end(true), { once: true });
    row.name.replaceWith(field);
    field.select();
    field.focus();
  };

  const actions = (row, run) => {
    const wanted = run.can.join();
    if (row.can === wanted) return; // a button that has the focus stays
    row.can = wanted;
    const words = { pause: "Pause", train: "Go on", stop: "Stop", rename: "Rename", delete: "Delete" };
    const takeBack = () => {
      clearTimeout(row.asked);
      row.asked = 0;
      for (const button of row.actions.children) button.textContent = words[button.dataset.do];
    };
    const buttons = run.can.map((what) => {
      const button = make("button", "attn-link-button", words[what]);
      button.dataset.do = what;
      button.addEventListener("click", () => {
        const now = model.runs.find((one) => one.id === run.id);
        if (!now) return;
        const sure = row.asked !== 0;
        takeBack();
        if (what === "rename") rename(row, now);
        else if (what !== "delete" || sure) tell(what, run.id);
        else {
          button.textContent = "Really delete?";
          row.asked = setTimeout(takeBack, 4000);
        }
      });
      return button;
    });
    row.actions.replaceChildren(...buttons);
  };

  const draw = () => {
    const runs = model.runs;
    empty.hidden = runs.length > 0;
    for (const [id, row] of rows)
      if (!runs.some((run) => run.id === id)) {
        row.item.remove();
        rows.delete(id);
      }
    runs.forEach((run, place) => {
      const row = rows.get(run.id) ?? makeRow(run.id);
      row.item.classList.toggle("followed", run.followed);
      row.box.checked = run.shown;
      row.box.setAttribute("aria-label", `Draw the curves of #${run.id} ${run.name}`);
      row.chip.style.background = run.shown ? run.colour : "transparent";
      row.chip.classList.toggle("dashed", run.dashed);
      if (row.name.textContent !== run.name) row.name.textContent = run.name;
      row.name.setAttribute("aria-pressed", String(run.followed));
      row.name.title = "Show the attention of this run";
      row.state.textContent = run.words;
      row.state.classList.toggle("failed", run.failed);
      row.bar.hidden = run.progress === null;
      row.bar.value = run.progress ?? 0;
      row.bar.setAttribute("aria-label", `How far ${run.name} is`);
      actions(row, run);
      if (list.children[place] !== row.item) list.insertBefore(row.item, list.children[place] ?? null);
    });
  };
  model.on("runs", draw);
  draw();
  const box = make("div");
  box.append(empty, list);
  return box;
}
