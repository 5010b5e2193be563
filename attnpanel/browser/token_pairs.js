// Two texts, one below the other, each token shaded by its weight. A token is never markup.
const legible = (text) => (text.trim() === "" ? JSON.stringify(text).slice(1, -1).replaceAll(" ", "␣") : text);

export function render({ model }) {
  const root = document.createElement("div");
  root.className = "attn-token-pairs";
  const draw = () => {
    root.replaceChildren(
      ...model.rows.map(({ side, names, shades, inks, weights, selected, places }) => {
        const row = document.createElement("div");
        row.className = "attn-chips";
        const mark = document.createElement("b");
        mark.className = `attn-side-${side.toLowerCase()}`;
        mark.textContent = side;
        row.append(mark);
        for (const [at, name] of names.entries()) {
          if (name === null) continue; // not in this text
          const chip = document.createElement("button");
          chip.type = "button";
          chip.tabIndex = -1; // the arrow keys move the token
          chip.textContent = legible(name);
          chip.style.background = shades[at];
          chip.style.color = inks[at];
          chip.title = `${places[at]} · weight ${weights[at]}`;
          chip.classList.toggle("selected", model.same && places[at] === selected);
          chip.addEventListener("click", () => tell(model, { [model.same ? "row" : "column"]: at }));
          row.append(chip);
        }
        return row;
      }),
    );
  };
  model.on("rows", draw);
  draw();
  return root;
}
