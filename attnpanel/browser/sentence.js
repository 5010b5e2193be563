// One line of arithmetic, as pieces [kind, text]; texts are never markup.
export function render({ model }) {
  const line = document.createElement("p");
  line.className = "attn-sentence";
  line.setAttribute("role", "status");
  const draw = () => {
    line.replaceChildren(
      ...model.pieces.flatMap(([kind, text]) => {
        const piece = document.createElement(kind === "pair" || kind === "result" ? "strong" : "span");
        piece.className = kind;
        piece.textContent = text;
        return [piece, document.createTextNode(" ")];
      }),
    );
  };
  model.on("pieces", draw);
  draw();
  return line;
}
