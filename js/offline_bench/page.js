import { element } from "../components/dom.js";
import { saveFile } from "../components/save_file.js";
import { resultTables } from "./tables.js";

// The page of the bench in a file: it starts the Worker that the file contains, and shows what that tells.

/** @template {HTMLElement} [E=HTMLElement] @param {string} id @returns {E} */
const find = (id) => /** @type {E} */ (document.getElementById(id));

const FACTS = {
  browser: "browser",
  "webgpu adapter": "WebGPU adapter",
  "webgpu float16": "WebGPU float16",
  webassembly: "WebAssembly",
  cores: "cores",
  "clock step": "clock step",
  "webgpu empty submission": "empty submission",
  limits: "limits",
};

class Page {
  /** @type {?BenchRun} */
  record = null;
  /** @type {?Worker} */
  worker = null;
  /** @type {Record<string, string>} */
  facts = {};

  constructor() {
    const read = (/** @type {string} */ id) => JSON.parse(find(id).textContent ?? "");
    /** @type {OfflineBench} */
    this.bench = read("bench-data");
    /** @type {import("./run.js").Preset[]} */
    this.presets = read("bench-presets");
    for (const { name } of this.presets) find("preset").append(new Option(name, name));
    find("preset").addEventListener("change", () => this.describePreset());
    find("start").addEventListener("click", () => this.start());
    find("stop").addEventListener("click", () => this.stop());
    find("save").addEventListener("click", () => this.save());
    find("theme").addEventListener("click", () => this.toggleTheme());
    this.describePreset();
    this.open();
  }

  /** Starts a Worker, which looks at the device. */
  open() {
    this.worker?.terminate();
    const url = URL.createObjectURL(new Blob([find("bench-worker").textContent ?? ""], { type: "text/javascript" }));
    try {
      this.worker = new Worker(url);
    } catch (error) {
      this.fail(`This browser starts no Worker for a file: ${/** @type {Error} */ (error).message}`);
      return;
    }
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.fail(`The bench stopped: ${event.message || "its Worker could not be started"}. Results so far can be downloaded.`);
      this.idle();
    };
    this.worker.postMessage({ kind: "open", bench: this.bench });
  }

  /** @param {any} message */
  hear({ kind, ...rest }) {
    if (kind === "here") {
      this.facts = { browser: navigator.userAgent, cores: String(navigator.hardwareConcurrency || "not told"), ...rest.facts };
      this.showFacts();
      this.idle();
    } else if (kind === "progress") {
      const bar = /** @type {HTMLProgressElement} */ (find("progress"));
      bar.max = rest.total;
      bar.value = rest.done;
      find("words").textContent = `${rest.done} of ${rest.total}: ${rest.words}`;
    } else if (kind === "record") {
      this.record = rest.record;
      this.show();
    } else if (kind === "ended") {
      const bar = /** @type {HTMLProgressElement} */ (find("progress"));
      if (!rest.stopped) bar.value = bar.max;
      find("words").textContent = rest.stopped ? "Stopped: the result so far can be downloaded." : "Done. Download the result to keep it.";
      this.idle();
    } else if (kind === "failed") {
      this.fail(`The bench stopped: ${rest.error}`);
      this.idle();
    }
  }

  get preset() {
    const name = /** @type {HTMLSelectElement} */ (find("preset")).value;
    return /** @type {import("./run.js").Preset} */ (this.presets.find((preset) => preset.name === name));
  }

  describePreset() {
    const { certified, timed, rounds } = this.preset;
    const both = new Set([...certified, ...timed]).size;
    find("about").textContent = `${both} cases are certified, ${timed.length} of them timed in ${rounds} rounds.`;
  }

  start() {
    find("problem").hidden = true;
    for (const id of ["start", "preset"]) /** @type {HTMLButtonElement} */ (find(id)).disabled = true;
    const stop = /** @type {HTMLButtonElement} */ (find("stop"));
    stop.disabled = false;
    stop.focus(); // the button that had the focus takes none now
    find("progress").hidden = false;
    document.body.dataset.state = "running";
    this.worker?.postMessage({ kind: "start", preset: this.preset });
  }

  /** The first press ends a run after its current step, a second one at once. */
  stop() {
    if (document.body.dataset.state === "stopping") {
      find("words").textContent = "Stopped: the result so far can be downloaded.";
      this.open();
      return;
    }
    document.body.dataset.state = "stopping";
    find("words").textContent = "Stopping after this step; press Stop again to end it at once.";
    this.worker?.postMessage({ kind: "stop" });
  }

  idle() {
    for (const id of ["start", "preset"]) /** @type {HTMLButtonElement} */ (find(id)).disabled = false;
    const stop = /** @type {HTMLButtonElement} */ (find("stop"));
    if (document.activeElement === stop) /** @type {HTMLElement} */ (find("start")).focus();
    stop.disabled = true;
    document.body.dataset.state = "idle";
  }

  save() {
    if (this.record === null) return;
    const date = this.record.environment.date_utc.slice(0, 19).replaceAll(":", "");
    saveFile(`${JSON.stringify(this.record, null, 1)}\n`, `attnpanel-bench-${date}.json`, "application/json");
  }

  /** @param {string} text */
  fail(text) {
    const problem = find("problem");
    problem.textContent = text;
    problem.hidden = false;
  }

  showFacts() {
    const facts = { ...this.facts, ...this.record?.machine };
    const rows = Object.entries(FACTS).filter(([name]) => facts[name]);
    find("facts").replaceChildren(...rows.flatMap(([name, label]) => [element("dt", "", label), element("dd", "", facts[name])]));
    const software = find("software");
    software.hidden = !facts["software adapter"];
    software.textContent = `The adapter of WebGPU is a software one (${facts["webgpu adapter"]}): the CPU computes. What it gives can be right, and its times are not those of a GPU.`;
  }

  show() {
    if (this.record === null) return;
    const { times, certificates, failures } = resultTables(this.record, this.bench);
    this.showFacts();
    find("certificates-section").hidden = this.record.agreements.length === 0;
    find("certificates").replaceChildren(certificates, ...(failures === null ? [] : [failures]));
    find("times-section").hidden = this.record.timings.length === 0;
    find("times").replaceChildren(...times);
    /** @type {HTMLButtonElement} */ (find("save")).disabled = this.record.agreements.length === 0;
  }

  toggleTheme() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }
}

document.documentElement.classList.add("runs");
new Page();
