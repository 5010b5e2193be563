// The browser's clock: how fine it is, measured, and how long a sample must last for that.

// Steps of the clock that a sample lasts at least: one step is then at most 5 %.
export const STEPS = 20;
const LOOKS = 40;
const LONGEST_LOOK_MS = 400;

/** The smallest step that the clock was seen to take, in seconds; 1 where it takes none. */
export function clockStep() {
  let least = 1000;
  const end = performance.now() + LONGEST_LOOK_MS;
  let before = performance.now();
  for (let seen = 0; seen < LOOKS && before < end; ) {
    const now = performance.now();
    if (now === before) continue;
    // Differences of rounded numbers are off by a last bit.
    least = Math.min(least, Number((now - before).toPrecision(6)));
    before = now;
    seen += 1;
  }
  return least / 1000;
}

/** Seconds, from an arbitrary start. */
export const now = () => performance.now() / 1000;

/** Lets messages arrive. */
export const pause = () => new Promise((resolve) => setTimeout(resolve, 0));

/** @param {number} limit @returns {number} an integer below it that nothing can foresee */
export function randomBelow(limit) {
  return crypto.getRandomValues(new Uint32Array(1))[0] % limit;
}

/** @template X @param {X[]} list @returns {X[]} a new list in random order */
export function shuffled(list) {
  const order = list.slice();
  for (let at = order.length - 1; at > 0; at--) {
    const other = randomBelow(at + 1);
    [order[at], order[other]] = [order[other], order[at]];
  }
  return order;
}

/** @param {number[]} numbers */
export function median(numbers) {
  const sorted = numbers.slice().sort((one, other) => one - other);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}
