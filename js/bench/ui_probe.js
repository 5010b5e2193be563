// Runs inside the measured page: notes when keys arrive, data sources change and plots are painted.
// Times are performance.now() in milliseconds. Python hands over {sources, plots, quietMs,
// frames} as the page opens, and reads window.attnBench.

/**
 * What is pressed: which data source must change, and which plots must be painted.
 *
 * @typedef {{source: string, plots: string[]}} Control
 * @typedef {{plot: string, at: number, shown: number, hash: ?number}} Paint times in milliseconds; shown is nan until then
 * @typedef {Control & {start: ?number, data: ?number, paints: Paint[], hashes: ?Record<string, number>, longest: number}} Interaction
 */

/** @param {{sources: string[], plots: string[], quietMs: number, frames?: boolean}} options */
function installAttnBench(options) {
  const now = () => performance.now();
  // A timer that fires late must not pass off the time it was held up as quiet.
  const POLL_MS = 25;
  let activity = 0; // counts source changes and paints
  /** @type {?Interaction} the one under way */
  let interaction = null;
  let forward = true;

  /** @param {string} name @returns {?BokehModel} */
  const modelOf = (name) => {
    for (const document of window.Bokeh?.documents ?? []) {
      const model = document.get_model_by_name(name);
      if (model !== null) return model;
    }
    return null;
  };
  /** @param {string} plot */
  const viewOf = (plot) => {
    const model = modelOf(`attn:plot:${plot}`);
    return model && window.Bokeh.index.find_one(model);
  };
  /** @param {string} plot */
  const canvasOf = (plot) => viewOf(plot)?.canvas_view?.primary.canvas;

  /**
   * FNV-1a over a plot's pixels, all its levels but the outline that follows the slider.
   *
   * @param {string} plot
   */
  const hash = (plot) => {
    const canvas = canvasOf(plot);
    const bytes = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let code = 0x811c9dc5;
    for (const word of new Uint32Array(bytes.buffer)) code = Math.imul(code ^ word, 0x01000193);
    return code >>> 0;
  };

  /**
   * Called back two frames on: in the first the browser presents what was painted before it,
   * and the second cannot begin until that frame's own style, layout and drawing are through.
   *
   * @param {() => void} then
   */
  const presented = (then) => requestAnimationFrame(() => requestAnimationFrame(then));

  // -- the first paint --------------------------------------------------------------------

  const bench = {
    /** @type {?number} */
    firstPaintMs: null,
    watch,
    arm,
    settled,
    armTap,
    /** @type {Promise<number>} */
    tapped: Promise.resolve(NaN),
  };
  /** @param {string} plot */
  const painted = (plot) => {
    const canvas = canvasOf(plot);
    if (!canvas?.width || !canvas.height) return false;
    const middle = canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 4, 4);
    return middle.data.some((/** @type {number} */ byte) => byte !== 0);
  };
  const lookForPaint = () => {
    if (["scores", "weights", "output"].some(painted)) {
      presented(() => { bench.firstPaintMs = now(); });
    } else {
      requestAnimationFrame(lookForPaint);
    }
  };
  lookForPaint();

  // -- one interaction --------------------------------------------------------------------

  /** @param {string} name */
  const onData = (name) => {
    activity += 1;
    if (interaction?.source === name && interaction.start !== null) interaction.data ??= now();
  };
  /** @param {string} plot */
  const onPaint = (plot) => {
    activity += 1;
    const of = interaction;
    if (of === null || of.start === null) return;
    /** @type {Paint} */
    const paint = { plot, at: now(), shown: NaN, hash: null };
    of.paints.push(paint);
    presented(() => {
      paint.shown = now();
      if (of.hashes !== null && plot in of.hashes) paint.hash = hash(plot);
    });
  };

  // Notes every change from now on. A source's data may be replaced, or written in place and
  // announced by `change` alone.
  function watch() {
    for (const name of options.sources) {
      const source = modelOf(name);
      source?.properties.data.change.connect(() => onData(name));
      source?.change.connect(() => onData(name));
    }
    for (const plot of options.plots) viewOf(plot)?.repainted.connect(() => onPaint(plot));
    window.addEventListener(
      "keydown",
      (event) => { if (interaction !== null) interaction.start ??= event.timeStamp; },
      { capture: true },
    );
  }

  /**
   * The longest time without an animation frame, from the key press until the page is quiet.
   *
   * @param {any} of
   */
  const watchFrames = (of) => {
    let last = now();
    const frame = () => {
      if (interaction !== of) return;
      const at = now();
      if (of.start !== null) of.longest = Math.max(of.longest || 0, at - Math.max(last, of.start));
      last = at;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  };

  /**
   * Prepares one press on the control that holds the focus; returns which key: the space bar for a
   * checkbox, or the arrow that lets a slider walk from end to end and back. With `check` pixels are compared as well.
   *
   * @param {Control} control
   * @param {boolean} check
   */
  function arm(control, check) {
    let focus = document.activeElement;
    while (focus?.shadowRoot?.activeElement) focus = focus.shadowRoot.activeElement;
    if (!focus) return null;
    const box = focus.getAttribute("type") === "checkbox";
    if (!box && focus.getAttribute("role") !== "slider") return null;
    const hashes = check ? Object.fromEntries(control.plots.map((plot) => [plot, hash(plot)])) : null;
    interaction = { ...control, start: null, data: null, paints: [], hashes, longest: NaN };
    if (options.frames) watchFrames(interaction);
    if (box) return "Space";
    const [value, least, most] = ["now", "min", "max"].map((name) =>
      Number(focus.getAttribute(`aria-value${name}`)),
    );
    if (value >= most) forward = false;
    if (value <= least) forward = true;
    return forward ? "ArrowRight" : "ArrowLeft";
  }

  // What the armed interaction still lacks, in words; null when it is complete.
  const lacking = () => {
    if (interaction === null) return null;
    const { start, source, data, paints, plots } = interaction;
    if (start === null) return "no key reached the page";
    if (data === null) return `${source} did not change`;
    const still = plots.filter((plot) => !paints.some((paint) => paint.plot === plot));
    if (still.length > 0) return `not repainted: ${still.join(", ")}`;
    if (!paints.some((paint) => plots.includes(paint.plot) && paint.at >= data)) {
      return `nothing was repainted after ${source} changed`;
    }
    return paints.every((paint) => !Number.isNaN(paint.shown)) ? null : "no frame after the repaint";
  };

  /** @param {Interaction} done */
  const sample = ({ start, data, paints, plots, hashes, longest }) => {
    const begun = Number(start);
    const mine = paints.filter((paint) => plots.includes(paint.plot));
    /** @param {string} plot */
    const pixels = (plot) => {
      const last = mine.findLast((paint) => paint.plot === plot)?.hash;
      return last !== hashes?.[plot] && last === hash(plot);
    };
    return {
      data_s: (Number(data) - begun) / 1000,
      paint_s: (Math.max(...mine.map((paint) => paint.shown)) - begun) / 1000,
      paints: paints.map((paint) => [paint.plot, (paint.shown - begun) / 1000]),
      longest_gap_s: Number.isNaN(longest) ? null : longest / 1000,
      pixels_changed: hashes === null ? null : plots.every(pixels),
    };
  };

  /**
   * The sample of the armed interaction, or {} without one, once the page has been quiet; what was
   * still {lacking} when that took too long.
   *
   * @param {number} limitMs
   */
  function settled(limitMs) {
    return new Promise((resolve) => {
      const begun = now();
      let [quiet, last, seen] = [0, begun, activity];
      const poll = () => {
        const at = now();
        quiet = activity === seen ? quiet + Math.min(at - last, 2 * POLL_MS) : 0;
        [last, seen] = [at, activity];
        if (quiet >= options.quietMs && lacking() === null) {
          const result = interaction === null ? {} : sample(interaction);
          interaction = null;
          resolve(result);
        } else if (at - begun > limitMs) {
          const result = { lacking: lacking() ?? "the page did not come to rest" };
          interaction = null;
          resolve(result);
        } else {
          setTimeout(poll, POLL_MS);
        }
      };
      poll();
    });
  }

  // -- a tap on the picture -----------------------------------------------------------------

  /**
   * Prepares one click on the picture: `tapped` are then the seconds until the frame with the heat that it paints is
   * through, nan if it paints none in time. The plots come a frame later.
   *
   * @param {HTMLElement} stage
   * @param {number} limitMs
   */
  function armTap(stage, limitMs) {
    /** @type {?number} */
    let start = null;
    const note = (/** @type {MouseEvent} */ event) => { start = event.timeStamp; };
    stage.addEventListener("click", note, { capture: true, once: true });
    const context = /** @type {any} */ (stage.querySelector("canvas")?.getContext("2d"));
    bench.tapped = new Promise((resolve) => {
      setTimeout(resolve, limitMs, NaN);
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve((now() - Number(start)) / 1000);
      context.putImageData = (/** @type {any[]} */ ...given) => {
        CanvasRenderingContext2D.prototype.putImageData.apply(context, /** @type {any} */ (given));
        activity += 1;
        // The message is handled once the frame has been styled, laid out and painted.
        if (start !== null) requestAnimationFrame(() => port2.postMessage(null));
      };
    });
  }

  Object.assign(window, { attnBench: bench });
}

// Python's script calls it.
Object.assign(globalThis, { installAttnBench });
