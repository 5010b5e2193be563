// Copies the page's address, which holds the whole state.
export function render({ model }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "attn-plain-button";
  button.textContent = "Copy link";
  button.addEventListener("click", async () => {
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(window.location.href);
    } catch {
      said = "Copy it from the address bar"; // clipboards are closed on plain http elsewhere
    }
    button.textContent = said;
    setTimeout(() => (button.textContent = "Copy link"), 1600);
  });
  return button;
}
