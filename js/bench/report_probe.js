// Runs inside a measured page, of this project or another: measures when it has drawn, its number of elements, and how
// long one change takes. `drawn` returns whether the first plot is visible.

/** @param {() => boolean} drawn */
function installReportBench(drawn) {
  const now = () => performance.now();
  /** @param {() => void} then */
  const presented = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
  const bench = {
    /** @type {?number} */
    drawnMs: null,
    /** @type {?number} */
    changedMs: null,
    elements,
    change,
  };

  const poll = () => {
    if (drawn()) presented(() => { bench.drawnMs = now(); });
    else requestAnimationFrame(poll);
  };
  poll();

  // Every element of the document, including shadow roots.
  function elements() {
    /** @param {Document | ShadowRoot} root @returns {number} */
    const below = (root) => {
      const all = [...root.querySelectorAll("*")];
      return all.reduce((sum, node) => sum + (node.shadowRoot ? below(node.shadowRoot) : 0), all.length);
    };
    return below(document);
  }

  /**
   * Milliseconds from an action to the end of the last long frame or change of the document that
   * followed, plus two frames: a reader's waiting time on a page without a signal that it is ready.
   * Null until then.
   *
   * @param {() => void} act
   */
  function change(act) {
    setTimeout(() => {
      const LONG_MS = 200; // shorter ones occur on any busy machine
      const QUIET_MS = 500;
      const start = now();
      let [last, busy] = [start, start];
      const observer = new MutationObserver(() => { busy = now(); });
      observer.observe(document, { attributes: true, characterData: true, childList: true, subtree: true });
      act();
      const frame = () => {
        const at = now();
        if (at - last > LONG_MS) busy = at;
        last = at;
        if (at - busy < QUIET_MS) requestAnimationFrame(frame);
        else {
          observer.disconnect();
          bench.changedMs = busy - start + 2 * (1000 / 60);
        }
      };
      requestAnimationFrame(frame);
    }, 0);
  }

  Object.assign(window, { reportBench: bench });
}

// Whether some canvas of the page has anything in its middle.
function anyCanvasPainted() {
  return [...document.querySelectorAll("canvas")].some((canvas) => {
    if (!canvas.width || !canvas.height) return false;
    const middle = canvas.getContext("2d")?.getImageData(canvas.width / 2, canvas.height / 2, 4, 4);
    return middle?.data.some((byte) => byte !== 0) ?? false;
  });
}

// Called by Python's scripts.
Object.assign(globalThis, { installReportBench, anyCanvasPainted });
