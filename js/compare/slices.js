const SLICE_MS = 12;

/**
 * Runs a job in slices, between which the page handles events.
 *
 * @template T
 * @param {Generator<unknown, T, void>} job yields between its steps; a promise is awaited
 * @param {() => boolean} outdated whether its result is no longer wanted
 * @returns {Promise<T | undefined>} undefined once it is outdated
 */
export async function inSlices(job, outdated) {
  let since = performance.now();
  let step = job.next();
  while (!step.done) {
    if (step.value instanceof Promise) await step.value;
    if (performance.now() - since > SLICE_MS) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (outdated()) return undefined;
      since = performance.now();
    }
    step = job.next();
  }
  return step.value;
}
