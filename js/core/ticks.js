// Which numbers of a colour bar have room.

/**
 * The numbers of a bar: all, every second or the ends, the first of these that do not meet.
 *
 * @param {[number, string][]} ticks
 * @param {number} width of the bar
 * @param {(text: string) => number} measure
 * @param {number} [beyond] the part of the first and the last number that stands beyond the bar
 * @returns {[number, string][]}
 */
export function apart(ticks, width, measure, beyond = 0) {
  // Where a number begins and ends.
  const spans = ticks.map(([part, text]) => {
    const wide = measure(text);
    const before = part === 0 ? beyond : part === 1 ? 1 - beyond : 0.5;
    const start = part * width - wide * before;
    return { start, end: start + wide };
  });
  const clear = (/** @type {number} */ step) => {
    const kept = spans.filter((_, at) => at % step === 0);
    return kept.every(({ start }, at) => at === 0 || start - kept[at - 1].end >= 3);
  };
  const step = [1, 2].find(clear) ?? ticks.length - 1;
  return ticks.filter((_, at) => at % step === 0);
}
