// One plot as a picture on the colour of its card: in a file of its own the card is lost, and light ink with it.

/** The colour behind the plot. */
export const ground = (view) => getComputedStyle(view.el).getPropertyValue("--attn-card").trim() || "#ffffff";

/** The plot as it is shown now, as a PNG. */
export function pngBlob(view) {
  const plot = view.export("png", true).canvas;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: plot.width, height: plot.height });
  const context = canvas.getContext("2d");
  context.fillStyle = ground(view);
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(plot, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
