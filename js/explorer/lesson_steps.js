import { fixed, general, inQuotes, shorten } from "../core/format.js";
import { t } from "../core/translate.js";
import { masksOf } from "./rules.js";
import { DECADE_STEP, temperatureAt } from "./widgets.js";

// The steps of the guided lesson: what each says, names, asks and sets, and when the reader has done it. They hold for
// any trace; their goals come from the row on screen when the step begins.

/**
 * What a step looks at: the choices, and the shown row. `entropies` are of all rows, null if they are not known.
 *
 * @typedef {{trace: Trace, state: State, query: number, key: number, weights: Floats, scores: ?Floats, visible: Uint8Array,
 *   queries: string[], keys: string[], entropies: ?number[], hasSources: boolean, heads: {weights: () => Floats}[]}} LessonView
 * @typedef {{value: number, goal: number, above: boolean, words: string}} Meter done beyond the goal, `above` or below it
 * @typedef {{text: string, isDone: (now: LessonView) => boolean, meter?: (now: LessonView) => Meter, solve: ?((now: LessonView) => Partial<State>)}} Task
 * @typedef {{question: string, choices: string[], right: number, because: string}} Guess
 * @typedef {{name: string, title: string, text: string, named: [string, string][], guess: Guess, set?: Partial<State>,
 *   task: (start: LessonView) => Task}} LessonStep named: CSS class and words of what is outlined
 */

const MOST_STEPS = 1 / DECADE_STEP;
const LARGE = 0.9;
const LOOKS = 0.4;
/** @type {Task} */
const NOTHING = { text: t("There is nothing to try here. Go on."), isDone: () => true, solve: null };

/** @param {Floats} numbers @param {(index: number) => boolean} [counts] */
function largestAt(numbers, counts = () => true) {
  let best = -1;
  for (let at = 0; at < numbers.length; at++) if (counts(at) && (best < 0 || (numbers[at] || 0) > (numbers[best] || 0))) best = at;
  return best;
}

/** @param {LessonView} view */
const top = ({ weights }) => weights[largestAt(weights)] || 0;

/** @param {LessonView} view @param {number} key */
const keyName = ({ keys }, key) => inQuotes(shorten(keys[key], 14));

/** @param {LessonView} view */
const queryName = ({ queries, query }) => inQuotes(shorten(queries[query], 14));

/**
 * The largest weight of the row at another temperature.
 *
 * @param {LessonView} view
 * @param {number} temperature
 */
function topAt({ scores, visible }, temperature) {
  if (scores === null) return NaN;
  const seen = [...scores.keys()].filter((key) => visible[key] && scores[key] > -Infinity).map((key) => scores[key] / temperature);
  const peak = seen.reduce((most, score) => Math.max(most, score), -Infinity);
  return 1 / seen.reduce((sum, score) => sum + Math.exp(score - peak), 0);
}

/**
 * A task of bringing the row's largest weight beyond a goal by the temperature.
 *
 * @param {LessonView} start
 * @param {boolean} above
 * @param {number} wanted moved to what the slider reaches
 * @returns {Task}
 */
function temperatureTask(start, above, wanted) {
  const steps = Array.from({ length: MOST_STEPS }, (_, step) => temperatureAt(above ? -step - 1 : step + 1));
  const reached = topAt(start, steps[MOST_STEPS - 1]);
  const goal = Math.round(100 * (above ? Math.min(wanted, reached - 0.01) : Math.max(wanted, reached + 0.01))) / 100;
  if (!(above ? goal > top(start) : goal < top(start))) return NOTHING; // one key takes all, or all take the same
  /** Beyond the goal as both are written. @param {number} weight */
  const beyond = (weight) => (above ? Math.round(100 * weight) > 100 * goal : Math.round(100 * weight) < 100 * goal);
  const said = { token: queryName(start), now: fixed(top(start), 2), goal: fixed(goal, 2) };
  return {
    text: above
      ? t("Lower the temperature ① until the largest weight of {token}, now {now}, is above {goal}.", said)
      : t("Raise the temperature ① until the largest weight of {token}, now {now}, is below {goal}.", said),
    isDone: (now) => beyond(top(now)),
    meter: (now) => ({ value: top(now), goal, above, words: t("now {now} · goal {sign} {goal}", { now: fixed(top(now), 2), sign: above ? ">" : "<", goal: fixed(goal, 2) }) }),
    solve: (now) => ({ temperature: steps.find((temperature) => beyond(topAt(now, temperature))) ?? steps[MOST_STEPS - 1] }),
  };
}

/** @type {LessonStep[]} */
export const LESSON = [
  {
    name: t("dot product"),
    title: t("How well does a query fit a key?"),
    text: t("Each token has a [query], what it looks for, and a [key], what it can be found by: two rows of numbers. Multiply them channel by channel and add up, and you have their dot product q·k. One cell of Score ① stands for one pair; ② has its numbers."),
    named: [["attn-plot-scores", t("Score")], ["attn-why-token", t("why this token")]],
    guess: {
      question: t("A query and a key point in opposite directions. Their dot product is"),
      choices: [t("above 0"), "0", t("below 0")],
      right: 2,
      because: t("The products of opposite numbers are negative, and so is their sum."),
    },
    task: (start) => {
      const { scores, visible } = start;
      if (scores === null) return NOTHING;
      const least = largestAt(scores.map((score) => -score), (key) => visible[key] === 1);
      return {
        text: t("Go to the key that fits {token} least: the lowest score of its row. Point at it, or press Shift with ← or →.", { token: queryName(start) }),
        isDone: ({ query, key }) => query === start.query && key === least,
        solve: () => ({ pair: [start.query, least] }),
      };
    },
  },
  {
    name: t("score"),
    title: t("A score for every key"),
    text: t("A query is multiplied with every key: one row of scores. More channels give larger sums, so they are divided by √d. Blue is below 0, red above; the bar below the picture has the numbers."),
    named: [["attn-at-query_index", t("Token")], ["attn-plot-scores", t("Score")]],
    guess: { question: t("Can a score be larger than 1?"), choices: [t("yes"), t("no")], right: 0, because: t("A score is a sum and has no limit. Only the weights after the softmax lie between 0 and 1.") },
    task: (start) => {
      const { T } = start.trace.calls[start.state.layer];
      if (T === 1) return NOTHING;
      return {
        text: t("Choose another token ① (↓ and ↑, or tap its row) and compare the two rows: does it look for the same keys?"),
        isDone: ({ state }) => state.query_index !== start.state.query_index,
        solve: () => ({ query_index: (start.state.query_index + 1) % T }),
      };
    },
  },
  {
    name: t("mask"),
    title: t("What may be seen"),
    text: t("A [mask] hides keys: their score counts as −∞ and their weight is exactly 0. Hidden cells are hatched. A language model that writes from left to right hides what comes after."),
    named: [["attn-at-mask", t("Mask")], ["attn-plot-weights", t("Softmax")]],
    guess: { question: t("Under a causal mask, how many keys may the first token see?"), choices: [t("no key"), t("one: itself"), t("all keys")], right: 1, because: t("It sees itself and what came before, and nothing came before.") },
    task: () => ({
      text: t("Choose the mask “causal” ① (on a narrow page under More), and look at the first row of Softmax ②."),
      isDone: ({ state }) => state.mask === "causal",
      solve: () => ({ mask: "causal" }),
    }),
  },
  {
    name: t("temperature"),
    title: t("How sharp is the choice?"),
    text: t("Before the [softmax], every score is divided by the temperature τ. Above 1 the scores come closer to one another, below 1 they move apart."),
    named: [["attn-at-temperature", t("Temperature")], ["attn-plot-weights", t("Softmax")]],
    guess: { question: t("τ goes up. The largest weight of a row"), choices: [t("rises"), t("falls"), t("stays")], right: 1, because: t("The scores become more alike, and the weights with them.") },
    task: (start) => {
      const even = 1 / Math.max(1, start.visible.reduce((sum, seen) => sum + seen, 0));
      return temperatureTask(start, false, (top(start) + even) / 2);
    },
  },
  {
    name: t("softmax"),
    title: t("From scores to shares"),
    text: t("[Softmax|softmax] takes e to the power of each score and divides by Σ, the sum of the row. All weights are above 0 and a row sums to 1. How widely a row is spread is its [entropy]."),
    named: [["attn-at-query_index", t("Token")], ["attn-plot-entropy", t("Entropy per token")]],
    guess: { question: t("Can a key that may be seen have the weight 0?"), choices: [t("yes"), t("no")], right: 1, because: t("e to the power of any number is above 0. It may only be too small to be shown.") },
    task: (start) => {
      const { entropies } = start;
      if (entropies === null || entropies.length < 2) return NOTHING;
      const most = Math.max(...entropies);
      return {
        text: t("Find the token ① that looks most widely: the highest bar of Entropy per token ②."),
        isDone: ({ state }) => entropies[state.query_index] >= most - 1e-6,
        solve: () => ({ query_index: entropies.indexOf(most) }),
      };
    },
  },
  {
    name: t("mixing values"),
    title: t("What the token becomes"),
    text: t("Every key gives its [value], times its weight; the sum is the token's new row, in Mix ②. Paint mixing ③ does the same with a colour for each value."),
    named: [["attn-at-temperature", t("Temperature")], ["attn-plot-output", t("Mix")], ["attn-plot-swatches", t("Paint mixing")]],
    guess: { question: t("One weight is 0.99. The mixed colour is nearly"), choices: [t("that key's colour"), t("the mean of all"), t("grey")], right: 0, because: t("The other values hardly count.") },
    task: (start) => temperatureTask(start, true, LARGE),
  },
  {
    name: t("heads"),
    title: t("Several heads, several looks"),
    text: t("A layer has several heads, each with queries, keys and values of its own: one token can look at several things at once. All heads ② shows every head as a tile; tap one."),
    named: [["attn-at-head", t("Head")], ["attn-plot-grid", t("All heads")]],
    guess: { question: t("Do all heads of a layer look at the same keys?"), choices: [t("yes"), t("no")], right: 1, because: t("Each has weights of its own, and training can make each look for something else.") },
    task: (start) => {
      const first = largestAt(start.weights);
      /** @param {Floats} weights */
      const differs = (weights) => largestAt(weights) !== first;
      const other = start.heads.findIndex(({ weights }, head) => head !== start.state.head && differs(weights()));
      if (other < 0) return NOTHING;
      return {
        text: t("Choose a head ① (→ and ←) in which {token} looks most at another token than {key}.", { token: queryName(start), key: keyName(start, first) }),
        isDone: ({ state, weights }) => !state.aggregate && state.head !== start.state.head && differs(weights),
        solve: () => ({ head: other, aggregate: false }),
      };
    },
  },
  {
    name: t("a real sentence"),
    title: t("A real sentence"),
    text: t("The numbers of the toy are random. In a trained model heads have learned what to look at: some at the token before, some at the first one, some from a pronoun to its noun."),
    named: [["attn-sources", t("Prompt")], ["attn-plot-grid", t("All heads")]],
    guess: { question: t("“The trophy does not fit in the suitcase because it is too large.” What should “it” look at?"), choices: [t("trophy"), t("suitcase"), t("large")], right: 0, because: t("What is too large to fit in is the trophy. A model has no rule for this: it has learned it, in some heads.") },
    task: (start) => {
      if (start.trace.source === "toy" && !start.hasSources) {
        return { ...NOTHING, text: t("This page has the toy alone. Run attnpanel serve and choose Prompt there, or trace a sentence of yours.") };
      }
      return {
        text: t("Choose Prompt ① above. Then find a head ② in which a token gives 40 % or more to another one that is neither itself nor the first."),
        isDone: ({ trace, weights, query }) => {
          const largest = largestAt(weights);
          return trace.source !== "toy" && largest > 0 && largest !== query && weights[largest] >= LOOKS;
        },
        meter: (now) => {
          const largest = largestAt(now.weights, (key) => key > 0 && key !== now.query);
          const value = now.trace.source === "toy" || largest < 0 ? 0 : now.weights[largest] || 0;
          return { value, goal: LOOKS, above: true, words: t("now {now} % · goal 40 %", { now: general(100 * value, 3) }) };
        },
        solve: null,
      };
    },
  },
];

/**
 * The choices that every step begins with, whatever the one before has left.
 *
 * @param {Trace} trace
 * @param {{layer: number, head: number, query_index: number}} home where the reader was when the lesson began
 * @returns {Partial<State>}
 */
export function startOfStep(trace, { layer, head, query_index }) {
  return { layer, head, query_index, temperature: 1, mask: masksOf(trace)[0], aggregate: false, pair: null };
}
