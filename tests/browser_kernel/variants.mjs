// The page of variants without a page. Run by driver.mjs; see test_variants_js.py.

import { differenceOf, headOf, variantOf } from "../../js/variants/example.js";
import { onlineSoftmax } from "../../js/variants/online_softmax.js";
import { pricesOf } from "../../js/variants/price.js";
import { toLink } from "../../js/variants/state.js";

export { changeSize, duration, intensity, machinesAt, readSize, timesOf, withPrefix } from "../../js/variants/price.js";
export { fromLink } from "../../js/variants/state.js";
export { differenceOf, variantOf };

export function prices(table, layout, visibility, sizes, projections) {
  return pricesOf(table)(layout, visibility, sizes, projections);
}

export function linkOf(...given) {
  return toLink(...given).toString();
}

/** The online softmax of a head of the example. */
export function stepped(example, table, layout, visibility, head, options) {
  const { T, D } = example;
  const attention = variantOf(example, table, layout, visibility)[head];
  const { value } = headOf(example, example.layouts[layout], head);
  const { sink } = table.visibilities.find(({ name }) => name === visibility);
  return onlineSoftmax(attention.scores, attention.visible, value, { T, S: T, Dv: D, sink, ...options });
}
