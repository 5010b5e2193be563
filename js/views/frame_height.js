const HIGHEST = 268; // as attnpanel/explorer/views/elements.py has it
const LOWEST = 112;
const AROUND = 224; // pixels of a low page that header, controls, title and labels take

/** Pixels of a matrix's frame: less where the window has no room for it below the controls. */
export const frameHeight = () => Math.min(Math.max(document.documentElement.clientHeight - AROUND, LOWEST), HIGHEST);
