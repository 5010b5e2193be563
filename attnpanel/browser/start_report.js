// Opens a report: inflates the libraries that lie in the file, runs them in order, embeds the page.
// Stands in the file as a plain script; the page's first words (see offline.py) stay where it can't run.

(async () => {
  const words = document.getElementById("attnpanel-opening");
  const say = (text) => {
    words.textContent = text;
    words.classList.add("attnpanel-failed");
  };
  // The end of the file, or the file is cut short.
  const parsed = new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve));

  /** The text behind a script element's deflated, base64 content; the element goes. */
  async function unpack(element) {
    const letters = atob(element.textContent);
    element.remove();
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).text();
  }

  function run(source) {
    const script = document.createElement("script");
    script.textContent = source; // at once, in order, and from file:// too
    document.head.append(script);
    script.remove();
  }

  const read = (id) => JSON.parse(document.getElementById(id).textContent);

  await parsed;
  if (typeof DecompressionStream === "undefined" || typeof Object.hasOwn === "undefined") {
    say("This browser is too old for this report: open it in Chrome or Edge 93, Firefox 113, Safari 16.4 or newer.");
    return;
  }
  if (!document.getElementById("attnpanel-end")) {
    say("This report is not complete: its file was cut short. Copy or download it again.");
    return;
  }
  try {
    const packed = [...document.querySelectorAll("script[data-attnpanel-library]")];
    const sources = await Promise.all(packed.map(unpack));
    // Panel loads a component's module by es-module-shims, which it would fetch; every browser that can
    // open the file imports modules by itself.
    window.importShim = Object.assign((url) => import(url), { addImportMap() {} });
    sources.forEach(run);

    shareStyles(Bokeh);
    Bokeh.set_log_level("error");
    // Parsed here: given a text, Bokeh undoes HTML escapes in it first, and so runs what was escaped.
    await Bokeh.embed.embed_items(read("attnpanel-document"), read("attnpanel-roots"));
    words.remove();
  } catch (error) {
    say(`This report can't be opened; its file may be damaged. (${error.message})`);
  }
})();
