import { t } from "../core/translate.js";
import { below } from "../components/accessibility.js";
import { element } from "../components/dom.js";
import { hasForm, namedModels } from "../components/form_memory.js";
import { dismiss, takePlace } from "./handover.js";

// A page that was drawn without a session gets one when its reader first needs Python. Meanwhile it stays as it is: the
// session's page is drawn beside it, out of sight, takes over its state, and then its place. What the reader did is done there.

// The address's parameter that asks for a session; the page's own address never has it.
const LIVE = "live";
const HIDDEN = "visibility: hidden; opacity: 0; pointer-events: none;";
const SAY_AFTER_MS = 250;
const LOOK_MS = 30;
const DRAWN_WITHIN_MS = 60_000;
const WAITING = t("Connecting to the server … What is on screen still moves.");
const AWAY = t("The server does not answer. What is on screen still moves; running, uploading and saving wait until it is back.");
const AGAIN = t("Try again");
const SESSION_TOKEN = /"token":"([^"]+)"/;

/** An act that needs Python: a property that was set, or a component that was pressed.
 *
 * @typedef {{name: string, attr?: string, value?: unknown, undo?: () => void}} Act
 */

/**
 * The present address, asking for a session.
 *
 * @returns {URL}
 */
export function liveAddress() {
  const url = new URL(window.location.href);
  url.searchParams.set(LIVE, "1");
  return url;
}

export class Attachment {
  /** @type {Map<string, Act>} the latest of each control */
  acts = new Map();
  running = false;
  done = false;

  /**
   * @param {BokehDocument} page the document that is drawn
   * @param {(model: BokehModel) => boolean} needsPython
   * @param {(text: string, label?: string, act?: () => void) => void} say shows a line; an empty one hides it
   * @param {(busy: boolean) => void} busy marks the line as one that says to wait
   */
  constructor(page, needsPython, say, busy) {
    this.page = page;
    this.needsPython = needsPython;
    this.say = say;
    this.busy = busy;
    /** @type {Map<string, BokehModel>} */
    this.models = namedModels(page, needsPython);
  }

  /** Listens for what needs Python. */
  watch() {
    for (const [name, model] of this.models) {
      const attr = "active" in model.properties ? "active" : "value" in model.properties ? "value" : "";
      if (attr) this.watchValue(name, model, attr);
      else this.watchPress(name, model);
    }
    document.addEventListener("attn:ask-session", () => this.attach());
    // The server was away, and its page loaded anew: what was typed there belongs into a session's fields.
    if (hasForm()) this.attach();
  }

  /** @param {string} name @param {BokehModel} model @param {string} attr */
  watchValue(name, model, attr) {
    const first = model[attr];
    let undoing = false;
    const undo = () => {
      undoing = true;
      model.setv({ [attr]: first });
      undoing = false;
    };
    model.properties[attr].change.connect(() => {
      if (undoing || this.done) return;
      this.acts.set(name, { name, attr, value: model[attr], undo });
      this.attach();
    });
  }

  /** @param {string} name @param {BokehModel} model */
  watchPress(name, model) {
    document.addEventListener(
      "click",
      (event) => {
        const view = Bokeh.index.find_one(model);
        if (this.done || !view || !event.composedPath().includes(view.el)) return;
        event.stopPropagation();
        this.acts.set(name, { name });
        this.attach();
      },
      { capture: true },
    );
  }

  /** Asks for a session, once, and moves over to it. */
  async attach() {
    if (this.running || this.done) return;
    this.running = true;
    const waiting = setTimeout(() => this.say(WAITING), SAY_AFTER_MS);
    this.busy(true);
    /** @type {?HTMLElement} */
    let place = null;
    /** @type {BokehDocument | undefined} */
    let live;
    try {
      const token = await this.session();
      if (token === null) return;
      place = element("div", "attnpanel-live");
      place.id = `attnpanel-live-${performance.now()}`;
      // Drawn at its size, but neither seen nor heard, even where a part of it is declared visible.
      place.style.cssText = `position: absolute; top: 0; left: 0; width: 100%; z-index: -1; ${HIDDEN}`;
      document.body.append(place);
      const known = new Set(Bokeh.documents);
      await Bokeh.embed.embed_items({}, [{ token, elementid: place.id }]);
      live = Bokeh.documents.find((each) => !known.has(each));
      if (!live) throw new Error(AWAY);
      const shown = () => drawn(/** @type {BokehDocument} */ (live));
      await shown();
      await takePlace(this.page, live, place, shown);
      this.done = true;
      this.repeat([...this.acts.values()], live);
    } catch (error) {
      clearTimeout(waiting);
      this.busy(false);
      if (live) dismiss(live);
      place?.remove();
      this.fail(/** @type {Error} */ (error).message);
    } finally {
      this.running = false;
    }
  }

  /**
   * Has the server make a session at the present address.
   *
   * @returns {Promise<?string>} its token; null where the browser goes there itself
   */
  async session() {
    /** @type {Response} */
    let answer;
    try {
      answer = await fetch(liveAddress(), { cache: "no-store" });
    } catch {
      throw new Error(AWAY);
    }
    const text = await answer.text();
    const token = SESSION_TOKEN.exec(text)?.[1] ?? null;
    // Restarted since, the server may have other libraries.
    const libraries = [...document.scripts].map((script) => script.getAttribute("src")).filter((src) => src !== null);
    const fits = token !== null && libraries.every((src) => text.includes(src));
    if (answer.ok && !answer.redirected && fits) return token;
    if (answer.ok || answer.redirected) {
      window.location.assign(liveAddress()); // to sign in, or to load the others
      return null;
    }
    const plain = answer.headers.get("Content-Type")?.startsWith("text/plain");
    throw new Error(plain ? text.trim() : t("The server answers with status {status}.", { status: answer.status }));
  }

  /** Takes back what can't be done, and says why. @param {string} reason */
  fail(reason) {
    const acts = [...this.acts.values()];
    for (const { undo } of acts) undo?.();
    this.acts.clear();
    this.say(reason, AGAIN, () => {
      this.say("");
      for (const act of acts) this.acts.set(act.name, act);
      this.attach();
    });
  }

  /**
   * Does in the session's page what was done before it was there.
   *
   * @param {Act[]} acts
   * @param {BokehDocument} live
   */
  repeat(acts, live) {
    const models = namedModels(live, this.needsPython);
    for (const { name, attr, value } of acts) {
      const model = models.get(name);
      if (!model) continue;
      if (attr) model.setv({ [attr]: value });
      else pressIn(Bokeh.index.find_one(model));
    }
  }
}

/** @param {?BokehView} view */
function pressIn(view) {
  if (!view) return;
  for (const node of below(view.el)) {
    if (!(node instanceof HTMLButtonElement)) continue;
    node.click();
    return;
  }
}

/**
 * Waits until a document shows its state.
 *
 * @param {BokehDocument} live
 */
async function drawn(live) {
  let start = performance.now();
  const drivers = () => [...live._all_models.values()].map(({ data }) => data?.at_rest).filter((rest) => typeof rest === "boolean");
  while (!live.is_idle || drivers().length === 0 || drivers().includes(false)) {
    if (document.hidden) start = performance.now(); // browsers draw nothing then
    if (performance.now() - start > DRAWN_WITHIN_MS) throw new Error(AWAY);
    await new Promise((then) => setTimeout(then, LOOK_MS));
  }
}
