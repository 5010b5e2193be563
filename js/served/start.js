// Opens a page that is drawn without a session (attnpanel/pages/explorer/static_page.py): sets the theme that its address
// names before anything is painted, and embeds the document once the libraries have run. A classic script.

import { t } from "../core/translate.js";
import { nameModels } from "../bokeh_patches/accessible_names.js";
import { boundNumbers } from "../bokeh_patches/number_bounds.js";
import { fetchTextsApart } from "../bokeh_patches/session_texts.js";
import { shareStyles } from "../bokeh_patches/shared_stylesheets.js";

const theme = new URLSearchParams(window.location.search).get("theme");
if (theme === "dark" || theme === "light") {
  document.documentElement.classList.add(`attn-${theme}-page`);
  document.documentElement.style.colorScheme = theme;
}

/** @param {string} id */
const read = (id) => JSON.parse(/** @type {HTMLElement} */ (document.getElementById(id)).textContent);

// After the libraries, which are deferred.
document.addEventListener("DOMContentLoaded", async () => {
  const opening = /** @type {HTMLElement} */ (document.getElementById("attnpanel-opening"));
  try {
    // Panel would fetch es-module-shims to load components; every browser that can draw the page has import().
    Object.assign(window, { importShim: Object.assign((/** @type {string} */ url) => import(url), { addImportMap() {} }) });
    shareStyles();
    nameModels();
    boundNumbers();
    fetchTextsApart();
    Bokeh.set_log_level("error");
    await Bokeh.embed.embed_items(read("attnpanel-document"), read("attnpanel-roots"));
    opening.remove();
  } catch (error) {
    opening.textContent = t("This page can't be opened: load it again. ({reason})", { reason: /** @type {Error} */ (error).message });
    opening.classList.add("attnpanel-failed");
  }
});
