// A plot as an image with the background of its card, without which light text would be illegible.

/**
 * The colour behind the plot.
 *
 * @param {BokehView} view
 */
export const ground = (view) => getComputedStyle(view.el).getPropertyValue("--attn-card").trim() || "#ffffff";

/**
 * A PNG of the plot in its current state.
 *
 * @param {BokehView} view
 * @returns {Promise<Blob>}
 */
export function pngBlob(view) {
  const plot = view.export("png", true).canvas;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: plot.width, height: plot.height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = ground(view);
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(plot, 0, 0);
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(/** @type {Blob} */ (blob)), "image/png"));
}
