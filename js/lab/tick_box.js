import { element } from "../components/dom.js";

/**
 * A checkbox with a label, for screen readers and as a larger target.
 *
 * @param {Props<{ label: string, value: boolean }>} props
 */
export function render({ model }) {
  const label = element("label");
  const box = element("input");
  const words = element("span");
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
