import { element } from "./dom.js";

// A figure as a PDF: the browser's own print dialog on a page of exactly its size, so that texts stay texts.

/**
 * Opens the print dialog on a page that holds a figure alone.
 *
 * @param {{text: string, width: number, height: number}} figure an SVG and its size in CSS pixels
 * @param {string} title what the dialog suggests as the file's name
 */
export function printFigure({ text, width, height }, title) {
  const frame = element("iframe");
  frame.setAttribute("aria-hidden", "true");
  Object.assign(frame.style, { position: "fixed", width: "0", height: "0", border: "0" });
  document.body.append(frame);
  const page = frame.contentDocument;
  const view = frame.contentWindow;
  if (!page || !view) return;
  const svg = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  const style = page.createElement("style");
  // Hidden, or rounding puts an empty page behind it.
  style.textContent = `@page { size: ${width.toFixed(2)}px ${height.toFixed(2)}px; margin: 0; } html, body { height: 100%; margin: 0; overflow: hidden; } svg { display: block; print-color-adjust: exact; -webkit-print-color-adjust: exact; }`;
  page.head.append(style);
  page.body.append(page.importNode(svg, true));
  page.title = title;
  const before = document.title;
  document.title = title; // which some browsers suggest instead
  const end = () => {
    document.title = before;
    frame.remove();
  };
  view.addEventListener("afterprint", end, { once: true });
  view.print();
}
