// Long work of the page's own thread, done in slices between which the page handles events or paints.

const SLICE_MS = 12;

/**
 * Runs a job to its end, a slice at a time.
 *
 * @template Step, Result
 * @param {Generator<Step, Result, void>} job yields after each part; a promise that it yields is awaited
 * @param {() => boolean} isOld whether nobody wants the result any more; asked after each slice
 * @returns {Promise<?{result: Result}>} null if it was abandoned
 */
export async function inSlices(job, isOld) {
  let since = performance.now();
  for (let step = job.next(); ; step = job.next()) {
    if (step.done) return { result: step.value };
    if (step.value instanceof Promise) await step.value;
    if (performance.now() - since < SLICE_MS) continue;
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (isOld()) return null;
    since = performance.now();
  }
}

/** Resolves once the browser has painted what changed. */
export function painted() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve, 0));
  });
}
