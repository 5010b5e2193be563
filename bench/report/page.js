// Runs inside a measured page that this project need not have written: when it has drawn, how much
// there is, and how long one change takes. `drawn` tells whether the first picture is there.

function installReportBench(drawn) {
  const now = () => performance.now();
  const presented = (then) => requestAnimationFrame(() => requestAnimationFrame(then));
  const bench = { drawnMs: null };

  const look = () => {
    if (drawn()) presented(() => { bench.drawnMs = now(); });
    else requestAnimationFrame(look);
  };
  look();

  // Every element of the document, shadow roots entered.
  bench.elements = () => {
    const below = (root) => {
      const all = [...root.querySelectorAll("*")];
      return all.reduce((sum, one) => sum + (one.shadowRoot ? below(one.shadowRoot) : 0), all.length);
    };
    return below(document);
  };

  // Milliseconds from an action to the end of the last long frame or change of the document that
  // followed, and two frames: what a reader waits where nothing tells that the page is ready. Null
  // until then.
  bench.changedMs = null;
  bench.change = (act) => setTimeout(() => {
      const LONG_MS = 200; // shorter ones a busy machine has by itself
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

  window.reportBench = bench;
}

// Whether some canvas of the page has anything in its middle.
function anyCanvasPainted() {
  return [...document.querySelectorAll("canvas")].some((canvas) => {
    if (!canvas.width || !canvas.height) return false;
    const middle = canvas.getContext("2d")?.getImageData(canvas.width / 2, canvas.height / 2, 4, 4);
    return middle?.data.some((byte) => byte !== 0) ?? false;
  });
}
