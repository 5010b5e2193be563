/** @typedef {{rank: number, id: number, at: number}} Merge what two neighbours become, the left of them at a place */

/** @param {Merge} one @param {Merge} other */
const before = (one, other) => one.rank < other.rank || (one.rank === other.rank && one.at < other.at);

/** Merges, lowest rank first, then leftmost: a binary heap. */
export class MergeQueue {
  /** @type {Merge[]} */
  heap = [];

  /** @param {Merge} merge */
  push(merge) {
    const { heap } = this;
    let at = heap.push(merge) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(merge, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = merge;
  }

  /** @returns {Merge | undefined} */
  pop() {
    const { heap } = this;
    const top = heap[0];
    const moved = heap.pop();
    if (moved === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child += 1;
      if (child >= heap.length || !before(heap[child], moved)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = moved;
    return top;
  }
}
