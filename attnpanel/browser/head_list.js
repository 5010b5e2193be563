// The heads that differ most, as buttons; and by what they are ranked. Texts go through textContent.
export function render({ model }) {
  const root = document.createElement("div");
  root.className = "attn-ranking";
  const by = document.createElement("div");
  by.className = "attn-ranking-by";
  const list = document.createElement("ol");
  const choices = [
    [false, "this token"],
    [true, "all tokens"],
  ].map(([every, text]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "attn-plain-button";
    button.textContent = text;
    button.addEventListener("click", () => tell(model, { every }));
    by.append(button);
    return [every, button];
  });
  root.append(by, list);
  const draw = () => {
    for (const [every, button] of choices) button.setAttribute("aria-pressed", String(every === model.every));
    list.replaceChildren(
      ...model.heads.map(({ layer, head, text, share, here }) => {
        const item = document.createElement("li");
        const button = document.createElement("button");
        button.type = "button";
        button.className = "attn-link-button";
        button.textContent = text;
        button.addEventListener("click", () => tell(model, { place: [layer, head] }));
        const said = document.createElement("span");
        said.textContent = `${share}${here ? " · shown" : ""}`;
        item.append(button, said);
        return item;
      }),
    );
    if (model.heads.length === 0) {
      const none = document.createElement("li");
      none.textContent = model.none;
      list.replaceChildren(none);
    }
  };
  model.on(["heads", "every", "none"], draw);
  draw();
  return root;
}
