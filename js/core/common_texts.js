// Puts the code of components and the styles back into a document's data (attnpanel/ui/common_texts.py).

const PROPERTIES = ["css", "esm"];
const MARK = "\0attnpanel-text ";

/**
 * Replaces what stands for a text, in place.
 *
 * @param {any} data a document's data, as JSON has it
 * @param {string[]} texts by their numbers
 * @returns {any} the data
 */
export function putTextsBack(data, texts) {
  const waiting = [data];
  while (waiting.length) {
    const part = waiting.pop();
    for (const name of PROPERTIES) {
      const text = part[name];
      if (typeof text === "string" && text.startsWith(MARK)) part[name] = texts[Number(text.slice(MARK.length))];
    }
    for (const value of Object.values(part)) if (typeof value === "object" && value !== null) waiting.push(value);
  }
  return data;
}
