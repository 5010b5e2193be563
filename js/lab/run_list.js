import { t } from "../core/translate.js";
import { element } from "../components/dom.js";

// The list of stored runs: which curves are drawn, which run is followed, progress, and actions such as stop and delete.
// Names are untrusted: they are set as text, never as markup.

/**
 * A row, from `attnpanel.pages.lab.page`.
 *
 * @typedef {{id: number, name: string, words: string, colour: string, shown: boolean, followed: boolean, dashed: boolean,
 *   failed: boolean, progress: ?number, can: string[]}} Run
 */

/** @param {Props<{ runs: Run[] }>} props */
export function render({ model }) {
  const list = element("ul", "lab-runs");
  const empty = element("p", "attn-caption muted", t("No run yet. Start one above: the default shows its head within a minute."));
  const rows = new Map();
  /** @param {string} what @param {number} run @param {object} [more] */
  const send = (what, run, more = {}) => model.send_msg({ do: what, run, ...more });

  /** @param {number} id */
  const makeRow = (id) => {
    const row = {
      item: element("li", "lab-run"),
      box: element("input"),
      chip: element("i", "lab-chip"),
      name: element("button", "lab-name"),
      state: element("span", "lab-state"),
      bar: element("progress"),
      actions: element("div", "lab-actions"),
      asked: 0, // timer that cancels “Really delete?”; 0 if not asked
    };
    row.box.type = "checkbox";
    row.box.addEventListener("change", () => send("show", id, { on: row.box.checked }));
    row.name.addEventListener("click", () => send("follow", id));
    const head = element("div", "lab-run-head");
    head.append(row.box, row.chip, row.name);
    row.item.append(head, row.state, row.bar, row.actions);
    rows.set(id, row);
    return row;
  };

  /** @param {any} row @param {Run} run */
  const rename = (row, run) => {
    const field = element("input", "lab-rename");
    field.value = run.name;
    field.maxLength = 80;
    field.setAttribute("aria-label", t("New name of {name}", { name: run.name }));
    let ended = false; // removing the field blurs it, which would call end() again
    /** @param {boolean} keep */
    const end = (keep) => {
      if (ended) return;
      ended = true;
      const name = field.value.trim();
      field.replaceWith(row.name);
      if (keep && name && name !== run.name) send("rename", run.id, { name });
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

  /** @param {any} row @param {Run} run */
  const actions = (row, run) => {
    const wanted = run.can.join();
    if (row.can === wanted) return; // keeps the button that has the focus
    row.can = wanted;
    /** @type {Record<string, string>} */
    const words = { pause: t("Pause"), train: t("Go on"), stop: t("Stop"), rename: t("Rename"), delete: t("Delete") };
    const cancelDelete = () => {
      clearTimeout(row.asked);
      row.asked = 0;
      for (const button of row.actions.children) button.textContent = words[button.dataset.do];
    };
    const buttons = run.can.map((what) => {
      const button = element("button", "attn-link-button", words[what]);
      button.dataset.do = what;
      button.addEventListener("click", () => {
        const now = model.runs.find((candidate) => candidate.id === run.id);
        if (!now) return;
        const sure = row.asked !== 0;
        cancelDelete();
        if (what === "rename") rename(row, now);
        else if (what !== "delete" || sure) send(what, run.id);
        else {
          button.textContent = t("Really delete?");
          row.asked = setTimeout(cancelDelete, 4000);
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
      row.box.setAttribute("aria-label", t("Draw the curves of #{number} {name}", { number: run.id, name: run.name }));
      row.chip.style.background = run.shown ? run.colour : "transparent";
      row.chip.classList.toggle("dashed", run.dashed);
      if (row.name.textContent !== run.name) row.name.textContent = run.name;
      row.name.setAttribute("aria-pressed", String(run.followed));
      row.name.title = t("Show the attention of this run");
      row.state.textContent = run.words;
      row.state.classList.toggle("failed", run.failed);
      row.bar.hidden = run.progress === null;
      row.bar.value = run.progress ?? 0;
      row.bar.setAttribute("aria-label", t("How far {name} is", { name: run.name }));
      actions(row, run);
      if (list.children[place] !== row.item) list.insertBefore(row.item, list.children[place] ?? null);
    });
  };
  model.on("runs", draw);
  draw();
  const box = element("div");
  box.append(empty, list);
  return box;
}
