// Joined behind attention.js, drawings.js and words_of.js: opens a plain trace as trace_data.js does, and
// asks about it. Run by driver.mjs; see explorers.py.

const PARTS = {
  select,
  scoresDrawing,
  weightsDrawing,
  outputDrawing,
  rowDrawing,
  swatchesDrawing,
  shadedTokens,
  rowOutline,
  tileOutline,
  masksOf,
  sentence,
  shownPair,
  titles,
  numbersLine,
  unavailable,
  toAddress,
  fromAddress,
  sliderWords,
  bounds,
  fitTrace,
  fitLayer,
  chooseLayer,
};

let traceOnPage = null;
let cacheOfPage = {};
let queriesRead = 0;

/** A call whose arrays come whole, one after another. */
function plainCall(fields) {
  const { H, Hkv, T, S, D, Dv } = fields;
  const part = (array, index, length) => array.subarray(index * length, (index + 1) * length);
  const shared = (batch, head) => batch * Hkv + Math.floor(head / (H / Hkv));
  return {
    ...fields,
    query: (batch, head) => {
      queriesRead += 1;
      return part(fields.query, batch * H + head, T * D);
    },
    key: (batch, head) => part(fields.key, shared(batch, head), S * D),
    value: (batch, head) => (fields.value ? part(fields.value, shared(batch, head), S * Dv) : null),
    bias: (batch, head) => (fields.bias ? part(fields.bias, batch * H + head, T * S) : null),
    visible: (batch, head) => part(fields.visible, batch * H + head, T * S),
    recorded: (batch, head) => part(fields.recorded, batch * H + head, T * S),
    colours: (batch, head, seed) => fields.colours[`${batch} ${head ?? "mean"} ${seed}`] ?? null,
  };
}

/** Shows another trace from now on. */
export function show(data, cache) {
  const calls = data.calls.map(plainCall);
  const tokensOf = (call, batch) => data.tokens[calls.indexOf(call)][batch];
  traceOnPage = { ...data, calls, tokensOf };
  cacheOfPage = cache;
  queriesRead = 0;
  return calls.length;
}

/** What one function says of the trace. */
export function ask(name, ...given) {
  return PARTS[name](traceOnPage, ...given);
}

/** What one function says of the trace and the selection that is computed here. */
export function live(name, state) {
  return PARTS[name](traceOnPage, state, select(traceOnPage, state, cacheOfPage));
}

export function selected(state) {
  return select(traceOnPage, state, cacheOfPage);
}

/** Whether two states have one selection: nothing is computed between them. */
export function sameSelection(one, other) {
  return select(traceOnPage, one, cacheOfPage) === select(traceOnPage, other, cacheOfPage);
}

/** How many heads' queries were read since this was asked last. */
export function queriesReadNow() {
  const read = queriesRead;
  queriesRead = 0;
  return read;
}

export function scoreBytes() {
  return [...cacheOfPage.scores.values()].reduce((bytes, array) => bytes + array.byteLength, 0);
}

export function drawn(name, state, options) {
  return DRAWINGS[name].draw(traceOnPage, state, cacheOfPage, options);
}

/** The overview after so many steps of its job. */
export function gridAfter(steps, state) {
  const job = overviewJob(traceOnPage, state, cacheOfPage);
  for (let step = 0; step < steps; step++) job.next();
  return gridDrawing(traceOnPage, state, cacheOfPage, { partial: true });
}

/** Each picture's table row, without its functions. */
export function table() {
  const rows = Object.entries(DRAWINGS);
  return Object.fromEntries(rows.map(([name, { depends, moves = [] }]) => [name, { depends, moves }]));
}

export function marks() {
  return { masks: MASK_KINDS, address: ADDRESS, unsaid: [...UNSAID], start: startState(traceOnPage) };
}
