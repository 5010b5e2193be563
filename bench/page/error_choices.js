// The error map: what is compared is chosen here; draws both heatmaps and says the largest difference.
// Python answers on a served page (`answer`); in a file the page takes what was recorded (`recorded`).

const TITLES = { first: "Compare", second: "with", dtype: "dtype", mask: "mask", temperature: "τ" };
const BEYOND = 1e9;

function bytes(text) {
  const letters = atob(text);
  return Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
}

/** Numbers of 16 bits: sign, 5 bits of exponent, 10 of fraction. */
function halves(text) {
  return Float64Array.from(new Uint16Array(bytes(text).buffer), (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  });
}

/** The recorded answer: |first - second| in units, or why there is none. */
function recall({ settings, size }, { first, second, ...setting }) {
  const found = settings[[setting.dtype, setting.mask, setting.temperature].join(" ")];
  const sides = [first, second].map((name) => found?.sides[name] ?? { reason: `${name} was not recorded` });
  const reason = sides.find((side) => side.reason)?.reason;
  if (reason) return { problem: reason };
  const visible = bytes(found.visible);
  const coarser = halves(found.coarser);
  const coarse = sides.some((side) => side.coarse);
  const [a, b] = sides.map((side) => halves(side.errors));
  const cells = size * size;
  const part = (start) =>
    Array.from({ length: cells }, (_, i) => {
      const [one, other] = [a[start + i], b[start + i]];
      if (Number.isNaN(one) && Number.isNaN(other)) return 0;
      if (Number.isNaN(one) || Number.isNaN(other)) return BEYOND;
      const row = Math.floor(i / size);
      // Errors beyond what 16 bits hold are as far apart as can be told.
      const apart = one === other ? 0 : Math.abs(one - other);
      const empty = visible.subarray(row * size, (row + 1) * size).every((seen) => !seen);
      return empty && apart > 0 ? BEYOND : Math.min(apart / (coarse ? coarser[row] : 1), BEYOND);
    });
  return { output: part(0), weights: part(cells), visible: [...visible] };
}

/** Where the largest value stands, as [value, row, column]; rows that see no key are told apart. */
function largest(values, size, rows) {
  let at = 0;
  let most = -1;
  values.forEach((value, i) => {
    if (value > most && rows[Math.floor(i / size)]) [most, at] = [value, i];
  });
  return [most, Math.floor(at / size), at % size];
}

function sentence(answer, { first, second }, size) {
  const sees = Array.from({ length: size }, (_, row) => answer.visible.slice(row * size, (row + 1) * size).some(Boolean));
  const told = (value) => (value >= BEYOND ? "beyond every unit" : `${value.toFixed(2)} units`);
  const [output, query, channel] = largest(answer.output, size, sees);
  const [weights, row, key] = largest(answer.weights, size, sees);
  const most = Math.max(output, weights);
  const pieces = [
    ["pair", first === second ? first : `${first} − ${second}`],
    ["plain", "output differs by at most"],
    ["number", told(output)],
    ["plain", output > 0 ? `(query ${query}, channel ${channel}),` : "(nowhere),"],
    ["plain", "weights by at most"],
    ["number", told(weights)],
    ["plain", weights > 0 ? `(query ${row} → key ${key}).` : "(nowhere)."],
    ["result", most === 0 ? "Bit for bit the same." : most <= 8 ? "Rounding explains it." : "Rounding does not explain it."],
  ];
  const empty = sees.flatMap((seen, i) => (seen ? [] : [i]));
  if (empty.length) {
    const others = empty.some((one) => answer.output.slice(one * size, (one + 1) * size).some((value) => value > 0));
    const policy = others ? "the two fill them differently" : "the two fill them alike";
    pieces.push(["plain", `Queries ${empty[0]} to ${empty.at(-1)} see no key: ${policy}.`]);
  }
  return { pieces, worst: { output: [query, channel, output], weights: [row, key, weights] } };
}

export function render({ model }) {
  const box = document.createElement("div");
  box.className = "bench-error-choices";
  const chosen = () => Object.fromEntries(Object.keys(TITLES).map((name) => [name, model[name]]));
  const line = document.createElement("p");
  line.className = "attn-sentence";
  line.setAttribute("role", "status");
  const quietly = { sync: false };

  const choices = document.createElement("div");
  choices.className = "bench-error-row";
  for (const [name, title] of Object.entries(TITLES)) {
    const label = document.createElement("label");
    label.className = "bench-choice";
    const words = document.createElement("span");
    words.textContent = title;
    const select = document.createElement("select");
    select.className = "bk-input";
    select.setAttribute("aria-label", title); // else its options were part of its name
    select.name = name;
    for (const choice of model.choices[name]) {
      const option = document.createElement("option");
      option.value = choice;
      option.textContent = String(choice).replaceAll("_", " ");
      select.append(option);
    }
    select.value = model[name];
    select.addEventListener("change", () => {
      model[name] = select.value;
    });
    model.on(name, () => {
      select.value = model[name];
      answer();
    });
    label.append(words, select);
    choices.append(label);
  }
  box.append(choices, line);

  const write = (kind, values, visible, at) => {
    const source = model.document.get_model_by_name(`bench:error:${kind}`);
    const figure = model.document.get_model_by_name(`bench:plot:error:${kind}`);
    if (!source || !figure) return;
    const masked = (i) => kind === "weights" && !visible[i] && values[i] === 0;
    source.data.image[0].set(values.map((value, i) => (masked(i) ? NaN : Math.min(value, BEYOND))));
    const outline = figure.center.find((one) => one.name === "attn:outline");
    const [row, column, most] = at;
    const sides = { left: column - 0.5, right: column + 0.5, bottom: row - 0.5, top: row + 0.5 };
    outline.setv({ ...sides, visible: most > 0 }, quietly);
    source.change.emit();
  };
  /** Pictures of another question are dimmed, so that nobody reads them as this one's. */
  const dim = (dimmed) => {
    for (const kind of ["output", "weights"]) {
      const figure = model.document.get_model_by_name(`bench:plot:error:${kind}`);
      figure?.setv({ styles: { ...figure.styles, opacity: dimmed ? "0.15" : "1" } }, quietly);
    }
  };
  let waiting = null;
  const draw = (answer) => {
    clearTimeout(waiting);
    dim(!answer.output);
    if (!answer.output) {
      line.textContent = answer.problem ?? "Computing …";
      const longer = () => (line.textContent = "Computing … what compiles first can take a minute.");
      if (!answer.problem) waiting = setTimeout(longer, 3000);
      return;
    }
    const { pieces, worst } = sentence(answer, chosen(), model.size);
    line.replaceChildren(
      ...pieces.flatMap(([kind, text]) => {
        const piece = document.createElement(kind === "pair" || kind === "result" ? "strong" : "span");
        piece.className = kind;
        piece.textContent = text;
        return [piece, document.createTextNode(" ")];
      }),
    );
    for (const kind of ["output", "weights"]) write(kind, answer[kind], answer.visible, worst[kind]);
  };
  const answer = () => {
    const now = chosen();
    if (model.recorded.settings) draw(recall({ ...model.recorded, size: model.size }, now));
    else {
      // An answer to what was asked before would stand under the wrong words.
      const { asked = {} } = model.answer;
      draw(Object.keys(now).every((name) => asked[name] === now[name]) ? model.answer : {});
    }
  };
  model.on("remove", () => clearTimeout(waiting));
  model.on("answer", answer);
  model.on("after_render", answer);
  answer();
  return box;
}
