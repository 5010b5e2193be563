// A line of plain text with an optional lighter second part; for titles and captions that hold tokens.
export function render({ model }) {
  const line = document.createElement(model.heading ? "h2" : "p");
  line.className = `attn-words ${model.tone}`;
  const draw = () => {
    const main = document.createElement("span");
    const aside = document.createElement("small");
    main.textContent = model.text;
    aside.textContent = model.aside;
    line.className = `attn-words ${model.tone}`;
    line.hidden = model.text === "" && model.aside === "";
    if (model.tone === "busy") line.role = "status"; // said by a screen reader when it comes
    line.replaceChildren(main, " ", aside);
  };
  model.on(["text", "aside", "tone"], draw);
  draw();
  return line;
}
