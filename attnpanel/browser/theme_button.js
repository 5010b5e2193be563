// Light or dark, by one press.
export function render({ model }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "attn-plain-button";
  button.textContent = "◐";
  button.title = "Light or dark";
  button.setAttribute("aria-label", button.title);
  button.addEventListener("click", () => tell(model, { theme: "toggle" }));
  return button;
}
