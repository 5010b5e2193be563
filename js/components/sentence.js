import { element } from "./dom.js";
import { showPieces } from "./pieces.js";

/**
 * A sentence, as pieces [kind, text]; texts are never markup.
 *
 * @param {Props<{ pieces: Piece[] }>} props
 */
export function render({ model }) {
  const line = element("p", "attn-sentence");
  line.setAttribute("role", "status");
  const draw = () => showPieces(line, model.pieces);
  model.on("pieces", draw);
  draw();
  return line;
}
