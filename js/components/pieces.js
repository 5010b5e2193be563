import { element } from "./dom.js";
import { withSymbols } from "./words.js";

/**
 * Shows a sentence: each piece in an element with its kind as the CSS class; a "break" begins a line.
 *
 * @param {HTMLElement} line
 * @param {Piece[]} pieces
 */
export function showPieces(line, pieces) {
  line.replaceChildren(
    ...pieces.flatMap(([kind, text]) => {
      if (kind === "break") return [element("br")];
      const piece = element(kind === "pair" || kind === "result" ? "strong" : "span", kind);
      // A pair is of tokens, which are no words or symbols of ours.
      piece.translate = kind !== "pair";
      piece.append(...(kind === "pair" ? [text] : withSymbols(text)));
      return [piece, " "];
    }),
  );
}
