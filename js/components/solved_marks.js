import { element } from "./dom.js";

const STORED = "attnpanel:solved";
const MOST = 100;

/** @returns {string[]} the names that this browser has stored */
function stored() {
  try {
    const kept = JSON.parse(window.localStorage.getItem(STORED) ?? "[]");
    return Array.isArray(kept) ? kept.filter((name) => typeof name === "string").slice(0, MOST) : [];
  } catch {
    return []; // storage is unavailable, or holds something else
  }
}

/**
 * Which exercises were solved in this browser: invisible; stored, so that they survive a reload.
 *
 * @param {Props<{ solved: string[], kept: string }>} props
 */
export function render({ model }) {
  const keep = () => {
    const names = [...new Set([...stored(), ...model.solved])].slice(0, MOST);
    try {
      if (names.length) window.localStorage.setItem(STORED, JSON.stringify(names));
    } catch {
      // without storage they last as long as the page
    }
    model.kept = JSON.stringify(names);
  };
  model.on("solved", keep);
  keep();
  const anchor = element("span");
  anchor.hidden = true;
  return anchor;
}
