// How far a run is: a bar, the step that is taken now, and the time that is left.

export function render({ model }) {
  const box = document.createElement("div");
  box.className = "bench-progress";
  const bar = document.createElement("progress");
  bar.setAttribute("aria-label", "How far the run is");
  const words = document.createElement("p");
  words.className = "attn-words";
  const draw = () => {
    box.hidden = model.total === 0 && model.text === "";
    bar.hidden = model.total === 0;
    bar.max = Math.max(1, model.total);
    bar.value = Math.min(model.done, model.total);
    words.textContent = model.text;
  };
  box.append(bar, words);
  model.on(["done", "total", "text"], draw);
  draw();
  return box;
}
