// The tokens as text, shaded by weight. Every text goes through textContent: a token is never markup.
const readable = (text) => (text.trim() === "" ? JSON.stringify(text).slice(1, -1).replaceAll(" ", "␣") : text);

function chips(parent, count, onPick) {
  while (parent.children.length > count) parent.lastChild.remove();
  while (parent.children.length < count) {
    const chip = document.createElement("button");
    const index = parent.children.length;
    chip.type = "button";
    chip.tabIndex = -1; // the arrow keys move the token; hundreds of tab stops would not help
    chip.addEventListener("click", () => onPick(index));
    parent.append(chip);
  }
  return parent.children;
}

/** Brings the chosen token into sight inside its box, without moving the page. */
function seek(box, chosen) {
  if (!chosen?.isConnected) return;
  const { offsetTop, offsetHeight } = chosen;
  const top = offsetTop - box.offsetTop;
  if (top < box.scrollTop || top + offsetHeight > box.scrollTop + box.clientHeight) {
    box.scrollTop = top - box.clientHeight / 2;
  }
}

export function render({ model }) {
  const root = document.createElement("div");
  const queries = document.createElement("div");
  const keys = document.createElement("div");
  root.className = "attn-tokens";
  queries.className = keys.className = "attn-chips";
  root.append(queries, keys);
  // A chip's tooltip is written when the pointer comes: hundreds of them change with every step.
  keys.addEventListener("pointerover", ({ target }) => {
    const index = [...keys.children].indexOf(target);
    if (index >= 0) target.title = `${index} · weight ${model.content.weights[index]}`;
  });

  let sought;
  const draw = () => {
    const { keys: names = [], queries: others = [] } = model.names;
    const { shades = [], inks, weights, selected } = model.content;
    if (shades.length !== names.length) return; // one of the two is still on its way
    const crossed = others.length > 0;
    queries.hidden = !crossed;
    const looking = chips(queries, others.length, (i) => tell(model, { token: i }));
    for (let i = 0; i < looking.length; i++) {
      looking[i].textContent = readable(others[i]);
      looking[i].classList.toggle("selected", i === selected);
      looking[i].title = `query ${i}`;
    }
    const seen = chips(keys, names.length, (i) => tell(model, { [keys.dataset.sends]: i }));
    keys.dataset.sends = crossed ? "key" : "token";
    for (let i = 0; i < seen.length; i++) {
      const chip = seen[i];
      const text = readable(names[i]);
      if (chip.textContent !== text) chip.textContent = text;
      // Of hundreds of tokens most keep their shade: what isn't written need not be styled anew.
      if (chip.shade !== shades[i]) {
        chip.shade = shades[i];
        chip.style.backgroundColor = shades[i];
        chip.style.color = inks[i];
      }
      const pressed = String(!crossed && i === selected);
      if (chip.ariaPressed !== pressed) {
        chip.ariaPressed = pressed;
        chip.classList.toggle("selected", pressed === "true");
      }
    }
    const box = crossed ? queries : keys;
    // In the next frame, where everything has its place: asked now, the page would be laid out once more.
    if (box.children[selected] !== sought) requestAnimationFrame(() => seek(box, box.children[selected]));
    sought = box.children[selected];
  };
  model.on(["names", "content"], draw);
  draw();
  return root;
}
