import { element } from "../components/dom.js";

// The attention of one example during training: a step slider, all heads as tiles, one head large, and a strip with
// a row for each head that shows its weight on the answer at each step, where one sees it form.

const FORMED = 0.5;
const SVG = "http://www.w3.org/2000/svg";

/** @param {string} text */
function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/**
 * The first kept step from which on a head keeps at least half of its weight on the answer, and that head.
 *
 * @param {Frame[]} frames
 * @returns {?{place: number, layer: number, head: number}}
 */
export function formed(frames) {
  const last = frames[frames.length - 1];
  /** @type {?{place: number, layer: number, head: number}} */
  let found = null;
  (last?.answers ?? []).forEach((row, layer) =>
    row.forEach((_weight, head) => {
      let first = frames.length;
      while (first > 0 && frames[first - 1].answers[layer]?.[head] >= FORMED) first -= 1;
      if (first < frames.length && (found === null || first < found.place)) found = { place: first, layer, head };
    }),
  );
  return found;
}

/**
 * A kept step: for each layer and head the weight on the answer, and every weight in 8 bits.
 *
 * @typedef {{step: number, answers: number[][], cells: Uint8Array}} Frame
 * @typedef {{run?: number, empty?: string, steps?: number, tokens?: string[], layers?: number, heads?: number,
 *   answers?: [number, number][]}} About
 * @typedef {{about: About, step: number, palettes: {light: string[], dark: string[]},
 *   recorded: {step: number, answers: number[][], cells: string}[]}} ReplayParameters
 */

/** @param {Props<ReplayParameters>} props */
export function render({ model }) {
  const root = element("div", "lab-replay");
  const line = element("div", "lab-step-line");
  const slider = element("input", "lab-step");
  const play = element("button", "attn-plain-button", "Play");
  const label = element("output", "lab-step-words");
  const stripBox = element("div", "lab-strip");
  const strip = element("canvas");
  const mark = element("i");
  const summary = element("p", "attn-caption lab-formed");
  const plots = element("div", "lab-plots");
  const tiles = element("div", "lab-tiles");
  const large = element("div", "lab-large");
  const cells = element("canvas");
  const outlines = document.createElementNS(SVG, "svg");
  const down = element("div", "lab-down");
  const across = element("div", "lab-across");
  const pair = element("p", "attn-sentence lab-pair");
  const empty = element("p", "attn-caption muted");
  slider.type = "range";
  slider.min = "0";
  slider.setAttribute("aria-label", "Step of training");
  cells.setAttribute("role", "img");
  pair.setAttribute("aria-live", "polite");
  stripBox.append(strip, mark);
  line.append(play, slider, label);
  large.append(down, cells, outlines, across);
  const right = element("div", "lab-right");
  const title = element("h3", "lab-head-title");
  right.append(title, large, pair);
  plots.append(tiles, right);
  root.append(empty, line, stripBox, summary, plots);

  /** @type {Frame[]} */
  let frames = [];
  let at = -1;
  let newest = true; // whether to follow the newest frame
  /** @type {?[number, number]} layer and head; null is the head with most weight on the answer */
  let picked = null;
  /** @type {?ReturnType<typeof setInterval>} */
  let playing = null;
  /** @type {{button: HTMLButtonElement, canvas: HTMLCanvasElement, words: HTMLElement}[]} one for each head */
  let buttons = [];
  const context = { tokens: [""], length: 0, layers: 0, heads: 0, wanted: new Set([0]), table: new Uint32Array(256) };

  const shade = () => {
    const dark = document.documentElement.classList.contains("attn-dark-page");
    const palette = model.palettes[dark ? "dark" : "light"];
    const table = new Uint32Array(256);
    for (let value = 0; value < 256; value += 1) {
      const hex = palette[Math.round(Math.sqrt(value / 255) * (palette.length - 1))];
      const [r, g, b] = [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
      table[value] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    return table;
  };
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number} width
   * @param {number} height
   * @param {(place: number) => number} value
   */
  const paint = (canvas, width, height, value) => {
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let place = 0; place < pixels.length; place += 1) pixels[place] = context.table[value(place)];
    canvas.getContext("2d")?.putImageData(image, 0, 0);
  };
  /** @param {number} layer @param {number} head */
  const offset = (layer, head) => (layer * context.heads + head) * context.length ** 2;
  const chosen = () => {
    if (picked) return picked;
    const rows = frames[frames.length - 1].answers;
    /** @type {[number, number]} */
    let best = [0, 0];
    rows.forEach((row, layer) => row.forEach((weight, head) => weight > rows[best[0]][best[1]] && (best = [layer, head])));
    return best;
  };
  /** @param {number} part */
  const percent = (part) => `${(100 * part).toFixed(0)} %`;
  /** @param {number} position */
  const word = (position) => `“${context.tokens[position]}” (${position})`;

  /** @param {number} [query] @param {number} [key] */
  const drawPair = (query, key) => {
    const frame = frames[at];
    const [layer, head] = chosen();
    for (const one of outlines.querySelectorAll(".over")) one.remove();
    if (query === undefined || key === undefined) {
      const weight = frame.answers[layer]?.[head];
      pair.textContent =
        weight === undefined
          ? `Layer ${layer}, head ${head} after ${frame.step} steps. Point at a cell to read it.`
          : `After ${frame.step} steps layer ${layer}, head ${head} puts ${percent(weight)} of its weight where the answers stand (outlined).`;
      return;
    }
    const value = frame.cells[offset(layer, head) + query * context.length + key] / 255;
    const answer = context.wanted.has(query * context.length + key) ? ", where its answer stands" : "";
    pair.textContent =
      key > query
        ? `${word(query)} may not see ${word(key)}, which comes after it.`
        : `${word(query)} gives ${percent(value)} of its weight to ${word(key)}${answer}.`;
    outline(key, query, "over");
  };
  /** @param {number} x @param {number} y @param {string} css */
  const outline = (x, y, css) => {
    const box = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ x, y, width: 1, height: 1, class: css })) box.setAttribute(name, String(value));
    outlines.append(box);
  };

  const draw = () => {
    const none = frames.length === 0;
    for (const part of [line, stripBox, summary, plots]) part.hidden = none;
    empty.hidden = !none;
    empty.textContent = model.about.empty ?? "";
    if (none) {
      publishStep(-1);
      return;
    }
    context.table = shade();
    if (newest || at < 0) at = frames.length - 1;
    at = Math.min(at, frames.length - 1);
    const frame = frames[at];
    slider.max = String(frames.length - 1);
    slider.value = String(at);
    slider.setAttribute("aria-valuetext", `step ${frame.step}`);
    label.textContent = `step ${frame.step} of ${model.about.steps}`;
    play.textContent = playing === null ? "Play" : "Pause";
    const [layer, head] = chosen();
    buttons.forEach(({ button, canvas, words }, place) => {
      const its = [Math.floor(place / context.heads), place % context.heads];
      const start = offset(its[0], its[1]);
      const weight = frame.answers[its[0]]?.[its[1]];
      paint(canvas, context.length, context.length, (cell) => frame.cells[start + cell]);
      words.textContent = weight === undefined ? `${its[0]}.${its[1]}` : `${its[0]}.${its[1]} · ${percent(weight)}`;
      button.setAttribute("aria-pressed", String(its[0] === layer && its[1] === head));
      button.setAttribute("aria-label", `Layer ${its[0]}, head ${its[1]}` + (weight === undefined ? "" : `: ${percent(weight)} on the answer`));
    });
    title.textContent = `Layer ${layer}, head ${head}`;
    const start = offset(layer, head);
    paint(cells, context.length, context.length, (cell) => frame.cells[start + cell]);
    cells.setAttribute("aria-label", `Weights of layer ${layer}, head ${head}: a row is a query, a column a key`);
    drawStrip();
    drawPair();
    publishStep(frame.step);
  };
  /**
   * The dotted line of the curves, and what the page's server offers as a trace; -1: there is no picture.
   *
   * @param {number} step
   */
  const publishStep = (step) => {
    for (const one of model.document._all_models.values())
      if (one.name === "lab:step") one.setv({ location: Math.max(step, 0), visible: step >= 0 }, { sync: false });
    if (model.step !== step) model.step = step;
  };
  const drawStrip = () => {
    const rows = context.layers * context.heads;
    const any = frames[0].answers.length > 0;
    stripBox.hidden = !any;
    summary.hidden = !any;
    if (!any) return;
    const flat = frames.map((frame) => frame.answers.flat());
    paint(strip, frames.length, rows, (place) => {
      const weight = flat[place % frames.length][Math.floor(place / frames.length)];
      return Math.round(255 * Math.min(Math.max(weight, 0), 1));
    });
    strip.style.height = `${Math.min(Math.max(rows * 6, 24), 96)}px`;
    mark.style.left = `${(100 * (at + 0.5)) / frames.length}%`;
    mark.style.width = `${100 / frames.length}%`;
    const first = formed(frames);
    summary.replaceChildren();
    if (first === null) summary.textContent = "No head puts half of its weight on the answer yet. ";
    else {
      const go = element("button", "attn-link-button", `step ${frames[first.place].step}`);
      go.addEventListener("click", () => {
        picked = [first.layer, first.head];
        choose(first.place);
      });
      summary.append(`Layer ${first.layer}, head ${first.head} has formed: from `, go, " on it puts at least half of its weight on the answer. ");
    }
    summary.append(element("small", "", "Above: that weight, a row for each head, a column for each kept step. Below: layer.head · that weight."));
  };

  const stop = () => {
    clearInterval(playing ?? undefined);
    playing = null;
  };
  /** @param {number} place */
  const choose = (place) => {
    at = place;
    newest = place === frames.length - 1;
    draw();
  };
  slider.addEventListener("input", () => {
    stop();
    choose(Number(slider.value));
  });
  play.addEventListener("click", () => {
    if (playing !== null) stop();
    else {
      at = at >= frames.length - 1 ? 0 : at;
      newest = false;
      playing = setInterval(() => {
        if (at >= frames.length - 1) stop();
        choose(Math.min(at + 1, frames.length - 1));
      }, 160);
    }
    draw();
  });
  /** @param {PointerEvent} event */
  const onStrip = (event) => {
    if (event.type === "pointermove" && event.buttons === 0) return;
    const box = strip.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * frames.length);
    stop();
    choose(Math.min(Math.max(place, 0), frames.length - 1));
  };
  strip.addEventListener("pointerdown", onStrip);
  strip.addEventListener("pointermove", onStrip);
  cells.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    const box = cells.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    /** @param {number} part */
    const inside = (part) => Math.min(Math.max(Math.floor(part * context.length), 0), context.length - 1);
    drawPair(inside(y), inside(x));
  });
  cells.addEventListener("pointerleave", () => drawPair());

  const labels = () => {
    const many = context.length > 40;
    for (const side of [down, across]) {
      side.replaceChildren(...context.tokens.map((token) => element("span", "", token)));
      side.classList.toggle("many", many);
    }
  };
  const start = () => {
    const about = model.about;
    frames = [];
    at = -1;
    newest = true;
    picked = null;
    stop();
    const { tokens = [], layers = 0, heads = 0, answers = [] } = about;
    const wanted = new Set(answers.map(([query, key]) => query * tokens.length + key));
    Object.assign(context, { tokens, length: tokens.length, layers, heads, wanted });
    outlines.replaceChildren();
    outlines.setAttribute("viewBox", `0 0 ${context.length} ${context.length}`);
    outlines.setAttribute("preserveAspectRatio", "none");
    for (const [query, key] of answers) outline(key, query, "answer");
    tiles.style.setProperty("--lab-heads", String(about.heads ?? 1));
    buttons = [];
    for (let place = 0; place < layers * heads; place += 1) {
      const button = element("button", "lab-tile");
      const canvas = element("canvas");
      const words = element("span");
      button.append(canvas, words);
      button.addEventListener("click", () => {
        picked = [Math.floor(place / heads), place % heads];
        draw();
      });
      buttons.push({ button, canvas, words });
    }
    tiles.replaceChildren(...buttons.map(({ button }) => button));
    labels();
    for (const { step, answers, cells: packed } of model.recorded) frames.push({ step, answers, cells: bytes(packed) });
    draw();
    if (about.run !== undefined && model.recorded.length === 0) model.send_msg({ frames_request: about.run });
  };
  /** @param {any} data */
  const take = (data) => {
    if (data.run !== model.about.run || (frames.length && data.step <= frames[frames.length - 1].step)) return;
    frames.push({ step: data.step, answers: data.answers, cells: new Uint8Array(data.cells) });
    if (data.more) return; // drawn when the last of these has come
    draw();
  };
  model.on("msg:custom", take);
  model.on("about", start);
  document.addEventListener("attn:theme", draw);
  model.on("remove", () => {
    stop();
    document.removeEventListener("attn:theme", draw);
  });
  start();
  return root;
}
