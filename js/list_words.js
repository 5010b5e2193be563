// Lists the English texts that pages translate, for `python docs/write_words.py`: the first argument of each call of t() as
// JSON on the standard output. Exits with status 1 where one is no literal, which no list could hold.

import { readFile, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "acorn";

const SOURCES = dirname(fileURLToPath(import.meta.url));
const OTHERS = new Set(["node_modules", "test", "types"]);

/**
 * The texts that an expression can be; null if it is no literal.
 *
 * @param {any} node
 * @returns {?string[]}
 */
function textsOf(node) {
  if (node.type === "Literal" && typeof node.value === "string") return [node.value];
  if (node.type === "BinaryExpression" && node.operator === "+") {
    const [left, right] = [textsOf(node.left), textsOf(node.right)];
    return left && right && [left[0] + right[0]];
  }
  return null;
}

/**
 * All calls of t() below a node.
 *
 * @param {any} node
 * @returns {any[]}
 */
function callsIn(node) {
  if (node === null || typeof node !== "object") return [];
  const inside = Object.values(node).flatMap((part) => (Array.isArray(part) ? part : [part]).flatMap(callsIn));
  return node.type === "CallExpression" && node.callee.name === "t" ? [node, ...inside] : inside;
}

const files = (await readdir(SOURCES, { recursive: true })).filter((path) => path.endsWith(".js") && !OTHERS.has(path.split(/[\\/]/)[0]));
const texts = new Set();
for (const path of files.sort()) {
  const text = await readFile(join(SOURCES, path), "utf8");
  for (const call of callsIn(parse(text, { ecmaVersion: "latest", sourceType: "module", locations: true }))) {
    const found = textsOf(call.arguments[0]);
    for (const each of found ?? []) texts.add(each);
    if (found) continue;
    console.error(`js/${path}:${call.loc.start.line}: t() needs a literal, so that it can be listed`);
    process.exitCode = 1;
  }
}
console.log(JSON.stringify([...texts]));
