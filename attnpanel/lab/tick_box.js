// A box to tick whose words are its label: they name it to a screen reader, and a press on them ticks it.
export function render({ model }) {
  const label = document.createElement("label");
  const box = document.createElement("input");
  const words = document.createElement("span");
  box.type = "checkbox";
  box.addEventListener("change", () => {
    model.value = box.checked;
  });
  const draw = () => {
    box.checked = model.value;
    words.textContent = model.label;
  };
  label.append(box, words);
  model.on(["value", "label"], draw);
  draw();
  return label;
}
