// Opens a report: inflates the libraries embedded in the file, runs them in order and embeds the page. A classic script;
// if it cannot run, the text that the file starts with (see attnpanel/ui/standalone_html.py) stays visible.

import { putTextsBack } from "../core/common_texts.js";
import { t } from "../core/translate.js";
import { nameModels } from "../bokeh_patches/accessible_names.js";
import { boundNumbers } from "../bokeh_patches/number_bounds.js";
import { shareStyles } from "../bokeh_patches/shared_stylesheets.js";

(async () => {
  const opening = /** @type {HTMLElement} */ (document.getElementById("attnpanel-opening"));
  /** @param {string} text */
  const fail = (text) => {
    opening.textContent = text;
    opening.classList.add("attnpanel-failed");
  };
  // At the end of the page, which a model's weights may follow, or of what there is of the file.
  const parsed = new Promise((resolve) => {
    const observer = new MutationObserver(() => {
      if (!document.getElementById("attnpanel-end")) return;
      observer.disconnect();
      resolve(undefined);
    });
    observer.observe(document, { childList: true, subtree: true });
    document.addEventListener("DOMContentLoaded", resolve);
  });

  /**
   * Inflates the base64 content of a script element, and removes the element.
   *
   * @param {Element} element
   */
  async function unpack(element) {
    const letters = atob(element.textContent);
    element.remove();
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).text();
  }

  /** @param {string} source */
  function run(source) {
    const script = document.createElement("script");
    script.textContent = source; // runs at once, in order, also from file://
    document.head.append(script);
    script.remove();
  }

  /** @param {string} id */
  const read = (id) => JSON.parse(/** @type {HTMLElement} */ (document.getElementById(id)).textContent);

  await parsed;
  if (typeof DecompressionStream === "undefined" || typeof Object.hasOwn === "undefined") {
    fail(t("This browser is too old for this report: open it in Chrome or Edge 93, Firefox 113, Safari 16.4 or newer."));
    return;
  }
  if (!document.getElementById("attnpanel-end")) {
    fail(t("This report is not complete: its file was cut short. Copy or download it again."));
    return;
  }
  try {
    const packed = [...document.querySelectorAll("script[data-attnpanel-library]")];
    const sources = await Promise.all(packed.map(unpack));
    const texts = JSON.parse(await unpack(/** @type {Element} */ (document.getElementById("attnpanel-texts"))));
    // Panel would fetch es-module-shims to load components; every browser that can open the file has import().
    Object.assign(window, { importShim: Object.assign((/** @type {string} */ url) => import(url), { addImportMap() {} }) });
    sources.forEach(run);

    shareStyles();
    nameModels();
    boundNumbers();
    Bokeh.set_log_level("error");
    // Parsed here: Bokeh would unescape HTML in a string, and so run escaped markup.
    await Bokeh.embed.embed_items(putTextsBack(read("attnpanel-document"), texts), read("attnpanel-roots"));
    opening.remove();
  } catch (error) {
    fail(t("This report can't be opened; its file may be damaged. ({reason})", { reason: /** @type {Error} */ (error).message }));
  }
})();
