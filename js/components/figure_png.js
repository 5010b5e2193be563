import { withResolution } from "../core/png_resolution.js";
import { t } from "../core/translate.js";
import { element } from "./dom.js";

export const CSS_DPI = 96;

/**
 * @typedef {{text: string, width: number, height: number}} Figure an SVG and its size in CSS pixels
 */

/**
 * A figure as a PNG of some dots per inch.
 *
 * @param {Figure} figure
 * @param {number} dpi
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function pngOf({ text, width, height }, dpi) {
  const image = new Image();
  const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  try {
    image.src = url;
    await image.decode();
    const canvas = element("canvas");
    Object.assign(canvas, { width: Math.round((width * dpi) / CSS_DPI), height: Math.round((height * dpi) / CSS_DPI) });
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((/** @type {(blob: Blob | null) => void} */ resolve) => canvas.toBlob(resolve, "image/png"));
    if (blob === null) throw new Error(t("the browser made no PNG"));
    return withResolution(new Uint8Array(await blob.arrayBuffer()), dpi);
  } finally {
    URL.revokeObjectURL(url);
  }
}
