import { general } from "../core/format.js";
import { clip } from "./colours.js";

// What a picture's colours mean, as a bar with numbers.

const STOPS = 17;
// Parts of the scale that have a number, where it is even and where small numbers have more of the bar.
const EVEN = [0, 0.25, 0.5, 0.75, 1];
const SPREAD = [0, 0.05, 0.2, 0.5, 1];

/**
 * The colour bar of a drawing; null where it has no colours of numbers.
 *
 * @param {Pick<Drawing, "colours" | "masked"> & Partial<Drawing>} drawing
 * @param {LegendWords} [said]
 * @returns {?Legend}
 */
export function legendOf({ colours, masked, sources }, { words = "", relative = false, pairs = true, points = false } = {}) {
  if (colours === null) return null;
  const { low, high, palette, power = 1 } = colours;
  const last = palette.length - 1;
  const stops = Array.from({ length: STOPS }, (_, at) => palette[Math.round(last * (at / (STOPS - 1)) ** (1 / power))]);
  /** @param {number} part */
  const label = (part) => {
    if (relative) return `${general(part * 100, 3)} %`;
    return general((low + part * (high - low)) * (points ? 100 : 1), 3).replace("-", "−");
  };
  return {
    gradient: `linear-gradient(to right, ${stops.join(", ")})`,
    ticks: (power < 1 ? SPREAD : EVEN).map((part) => [part ** power, label(part)]),
    words,
    masked: pairs && masked === true && hasHatched(sources),
  };
}

/**
 * The part of a colour bar at which a number's colour is; null for no number.
 *
 * @param {NonNullable<Drawing["colours"]>} colours
 * @param {number | undefined} number
 */
export function markOf({ low, high, power = 1 }, number) {
  if (number === undefined || Number.isNaN(number)) return null;
  return clip((number - low) / (high - low), 0, 1) ** power;
}

/**
 * Whether a heatmap has a cell without a number, through which the hatched ground shows. Called with a function, an array's
 * `some` takes 11 ms for 512 × 512 cells the first time, and 2.5 later.
 *
 * @param {Drawing["sources"]} [sources]
 */
export const hasHatched = (sources = {}) => Object.values(sources).some(({ image }) => image?.[0].includes(NaN));
