/** @typedef {"place" | "largest" | "smallest"} Order */

/**
 * The heads of a map in display order.
 *
 * @param {(?number)[][]} values by layer and head; null where there is none
 * @param {Order} order
 * @returns {[number, number[]][]} rows of a layer and its heads, by their places. Sorted, each layer's
 *   heads are sorted by value and layers by their first head's; heads without a value come last.
 */
export function arrange(values, order) {
  const rows = values.map((heads, layer) => /** @type {[number, number[]]} */ ([layer, [...heads.keys()]]));
  if (order === "place") return rows;
  const sign = order === "largest" ? -1 : 1;
  /** @param {?number} one @param {?number} other */
  const compare = (one, other) => {
    if (one === null || other === null) return Number(one === null) - Number(other === null);
    return sign * (one - other);
  };
  for (const [layer, heads] of rows) {
    heads.sort((a, b) => compare(values[layer][a], values[layer][b]) || a - b);
  }
  /** @param {[number, number[]]} row */
  const first = ([layer, heads]) => values[layer][heads[0]] ?? null;
  return rows.sort((one, other) => compare(first(one), first(other)) || one[0] - other[0]);
}
