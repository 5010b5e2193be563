import assert from "node:assert/strict";
import { test } from "node:test";
import { figureSvg, wrapped } from "../components/figure_svg.js";
import { apart } from "../core/ticks.js";

/** Every letter is 5 wide. @param {string} text */
const measure = (text) => 5 * text.length;
const colours = { ground: "#ffffff", ink: "#000000", muted: "#777777", masked: "#eeeeee", hatch: "#999999" };
const legend = { gradient: "linear-gradient(to right, #ffffff, #0b1f4f)", ticks: /** @type {[number, string][]} */ ([[0, "0"], [1, "1"]]), words: "", masked: true };

/** @param {Partial<import("../components/figure_svg.js").FigurePart>} [more] @returns {import("../components/figure_svg.js").FigurePart} */
const part = (more) => ({
  svg: "<svg/>",
  width: 200,
  height: 150,
  frame: { left: 40, right: 190, top: 36, bottom: 120 },
  cut: 30,
  heading: "Softmax",
  axes: ["key", "query"],
  legend,
  ...more,
});

/** @param {import("../components/figure_svg.js").FigurePart[]} parts @param {object} [about] */
const figure = (parts, about) => figureSvg(parts, { name: "weights", title: "A title", caption: "a · b", colours, ...about }, measure);

test("a figure has title, axis names, numbers of its colour bar, a swatch and its caption", () => {
  const { text } = figure([part()]);
  const words = [...text.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, word]) => word);
  assert.deepEqual(words, ["A title", "key", "0", "1", "masked", "query", "a\u00a0· b"]);
  assert.match(text, /<title>weights<\/title>/);
  assert.match(text, /<stop offset="1" stop-color="#0b1f4f">/);
});

test("plots beside each other have a heading each, and the rows are level", () => {
  const { text, width } = figure([part({ heading: "Score" }), part(), part({ heading: "Mix", axes: ["channel", "query"] })]);
  const places = [...text.matchAll(/<g transform="translate\(\S+ (\S+)\)">/g)].map(([, y]) => y);
  assert.equal(new Set(places).size, 1);
  assert.ok(width > 600);
  for (const word of ["Score", "Softmax", "Mix", "channel"]) assert.ok(text.includes(`>${word}</text>`), word);
});

test("columns and rows without labels have their first and last number, a single one none", () => {
  /** @param {import("../components/figure_svg.js").FigurePart["unlabelled"]} unlabelled */
  const written = (unlabelled) => {
    const { text } = figure([part({ legend: {}, axes: ["head", "layer"], unlabelled })]);
    return [...text.matchAll(/<text x="([^"]*)" y="([^"]*)" [^>]*text-anchor="(?:middle|end)"[^>]*>([^<]*)<\/text>/g)].map(([, x, y, word]) => [word, x, y]).filter(([word]) => /\d/.test(word));
  };
  // The frame is 150 by 84, and of 12 columns 12.5 wide; 24 + 40 before it, the first row is the topmost.
  const [first, last, top, bottom] = written([[-0.5, 11.5], [5.5, -0.5]]);
  assert.deepEqual([first, last].map(([word, x]) => [word, Number(x)]), [["0", 70.25], ["11", 207.75]]);
  assert.deepEqual([top[0], bottom[0], Number(bottom[2]) - Number(top[2])], ["0", "5", 70]);
  assert.deepEqual(written([[2.2, 7.7], null]).map(([word]) => word), ["3", "7"]); // whole cells of a part
  assert.deepEqual(written([[-0.5, 0.5], [0.5, -0.5]]), []);
});

test("what is written lies above the plots, which have a ground", () => {
  const { text } = figure([part(), part()]);
  assert.ok(text.lastIndexOf("<g ") < text.indexOf("<text"));
});

test("a plot without a bar and without names takes no room for them", () => {
  const bare = figure([part({ legend: {}, axes: ["", ""] })], { caption: "" });
  const whole = figure([part()], { caption: "" });
  assert.ok(!bare.text.includes("linearGradient"));
  assert.ok(bare.height < whole.height - 20);
  assert.equal(whole.width - bare.width, 16);
});

test("texts are text: no markup, and nothing that XML forbids", () => {
  const { text } = figure([part({ heading: "</text>" }), part()], { title: '<script>"&', caption: "\u0000\u001b[0m ]]>" });
  assert.ok(text.includes(">&lt;script&gt;&quot;&amp;</text>"));
  assert.ok(text.includes(">&lt;/text&gt;</text>"));
  assert.ok(text.includes(">··[0m ]]&gt;</text>"));
});

test("numbers of a bar do not meet", () => {
  const ticks = /** @type {[number, string][]} */ ([[0, "-2.5"], [0.25, "-1.25"], [0.5, "0"], [0.75, "1.25"], [1, "2.5"]]);
  const places = (/** @type {number} */ width) => apart(ticks, width, measure).map(([place]) => place);
  assert.deepEqual(places(300), [0, 0.25, 0.5, 0.75, 1]);
  assert.deepEqual(places(100), [0, 0.5, 1]);
  assert.deepEqual(places(44), [0, 1]);
  // Numbers half of which stands beyond the bar are farther apart.
  const beyond = (/** @type {number} */ width) => apart(ticks, width, measure, 0.5).length;
  assert.deepEqual([300, 44, 30].map(beyond), [5, 3, 2]);
});

test("lines are no wider than their room, and begin with no dot", () => {
  assert.deepEqual(wrapped("aa bb cc", 25, measure), ["aa bb", "cc"]);
  assert.deepEqual(wrapped("abcdefghij", 20, measure), ["abcd", "efgh", "ij"]);
  assert.deepEqual(wrapped("aaa · bbb", 25, measure), ["aaa\u00a0·", "bbb"]);
  assert.deepEqual(wrapped("", 25, measure), []);
});
