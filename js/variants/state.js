import { t } from "../core/translate.js";
import { changeSize, readSize } from "./price.js";

// The reader's choices, and the link that holds them. Everything from a link is untrusted. Pure.

export const MOST_MACHINES = 3;
const LONGEST_LINK = 2000;
/** Names in a link of what is no size; a size has its own name. */
const NUMBERS = /** @type {const} */ (["head", "token", "rows", "columns", "step"]);

/**
 * The choices of a page as it opens.
 *
 * @param {VariantTable} table
 * @param {MachineTable} machines
 * @param {Example} example
 * @param {string} [model] name
 * @returns {VariantState}
 */
export function startState(table, machines, example, model = table.models[0].name) {
  const { layout, visibility, sizes } = modelNamed(table, model);
  const measured = machines.measured.slice(0, 1).map(({ title, dtype }) => `${title}, ${dtype}`);
  return {
    model,
    sizes: { ...sizes },
    layout,
    visibility,
    projections: false,
    head: 0,
    token: example.T - 3,
    machines: [...measured, "H100 SXM"],
    rows: 2,
    columns: 2,
    order: "queries",
    step: 0,
  };
}

/** @param {VariantTable} table @param {string} name */
export function modelNamed({ models }, name) {
  return models.find((model) => model.name === name) ?? models[0];
}

/**
 * The largest value of each numbered choice; the least is 0, of blocks 1.
 *
 * @param {Example} example
 * @returns {Record<string, number>}
 */
export function mostOf({ T, heads }) {
  return { head: heads - 1, token: T - 1, rows: T, columns: T, step: T * T };
}

/**
 * Restores the choices of a link.
 *
 * @param {string} text a query without its question mark
 * @param {VariantTable} table
 * @param {MachineTable} machines
 * @param {Example} example
 * @returns {{state: VariantState, problems: string[]}} what could not be restored is as the page opens
 */
export function fromLink(text, table, machines, example) {
  const given = new URLSearchParams(text.slice(0, LONGEST_LINK));
  /** @type {string[]} */
  const problems = [];
  /** @param {string} name @param {string[]} known */
  const oneOf = (name, known) => {
    const value = given.get(name);
    if (value === null || known.includes(value)) return value;
    problems.push(t("There is no {name} “{value}”.", { name, value: value.slice(0, 24) }));
    return null;
  };
  const state = startState(table, machines, example, oneOf("model", table.models.map(({ name }) => name)) ?? undefined);
  state.layout = oneOf("layout", table.layouts.map(({ name }) => name)) ?? state.layout;
  state.visibility = oneOf("mask", table.visibilities.map(({ name }) => name)) ?? state.visibility;
  state.order = /** @type {"queries" | "keys" | null} */ (oneOf("order", ["queries", "keys"])) ?? state.order;
  state.projections = given.get("projections") === "1";
  for (const field of table.sizes) {
    const entered = given.get(field.name);
    if (entered === null) continue;
    const read = readSize(field, entered);
    const changed = "problem" in read ? read : changeSize(state.sizes, field.name, read.value);
    if ("problem" in changed) problems.push(changed.problem);
    else state.sizes = changed.sizes;
  }
  const most = mostOf(example);
  for (const name of NUMBERS) {
    const low = name === "rows" || name === "columns" ? 1 : 0;
    const entered = given.get(name);
    if (entered === null) continue;
    const read = readSize({ name, label: name, description: "", low, high: most[name] }, entered);
    if ("problem" in read) problems.push(read.problem);
    else state[name] = read.value;
  }
  const named = given.get("machines");
  if (named !== null) state.machines = machineNames(machines).filter((name) => named.split("|").includes(name)).slice(0, MOST_MACHINES);
  return { state, problems };
}

/** @param {MachineTable} machines */
function machineNames({ measured, datasheets }) {
  return [...measured.map(({ title, dtype }) => `${title}, ${dtype}`), ...datasheets.map(({ title }) => title)];
}

/**
 * The link of the choices: what differs from the page as it opens with this model.
 *
 * @param {VariantState} state
 * @param {VariantTable} table
 * @param {MachineTable} machines
 * @param {Example} example
 * @returns {URLSearchParams}
 */
export function toLink(state, table, machines, example) {
  const link = new URLSearchParams();
  const start = startState(table, machines, example, state.model);
  if (state.model !== table.models[0].name) link.set("model", state.model);
  if (state.layout !== start.layout) link.set("layout", state.layout);
  if (state.visibility !== start.visibility) link.set("mask", state.visibility);
  // Query heads before the grouped ones, which must divide them.
  for (const { name } of table.sizes) if (state.sizes[name] !== start.sizes[name]) link.set(name, String(state.sizes[name]));
  if (state.sizes.heads !== start.sizes.heads) link.set("kv_heads", String(state.sizes.kv_heads));
  if (state.projections) link.set("projections", "1");
  for (const name of NUMBERS) if (state[name] !== start[name]) link.set(name, String(state[name]));
  if (state.order !== start.order) link.set("order", state.order);
  if (state.machines.join("|") !== start.machines.join("|")) link.set("machines", state.machines.join("|"));
  return link;
}
