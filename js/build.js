// Bundles the sources of this folder into the files that Python ships. `node js/build.js` writes the bundles,
// `node js/build.js --check` lists those that differ from their sources, and then exits with status 1.

import { mkdir, readFile, readdir, unlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const SOURCES = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(SOURCES);

// Panel components are modules that export `render`; scripts run in measured pages and at the start of a report.
/**
 * @type {{folder: string, format: import("esbuild").Format, platform?: "node" | "browser", extension?: string,
 *   entries: Record<string, string>}[]}
 */
const BUNDLES = [
  {
    folder: "attnpanel/ui/bundles",
    format: "esm",
    entries: {
      action_button: "components/action_button.js",
      annotations: "components/annotations.js",
      caption: "components/caption.js",
      comparison: "compare/controller.js",
      copy_link: "components/copy_link.js",
      download: "components/download.js",
      explanation: "compare/explanation.js",
      explorer: "explorer/controller.js",
      head_list: "compare/head_list.js",
      head_maps: "components/head_maps.js",
      interaction: "explorer/interaction.js",
      lab_address: "lab/address.js",
      lab_theme: "lab/theme.js",
      legend: "components/legend.js",
      line_choices: "components/line_choices.js",
      lesson_card: "components/lesson_card.js",
      more_button: "components/more_button.js",
      on_picture: "components/on_picture.js",
      page_status: "components/page_status.js",
      prompt_box: "components/prompt_box.js",
      prompt_pair: "components/prompt_pair.js",
      run_list: "lab/run_list.js",
      save_plot: "components/save_plot.js",
      score_contrast: "components/score_contrast.js",
      sentence: "components/sentence.js",
      served_writing: "components/served_writing.js",
      solved_marks: "components/solved_marks.js",
      step_tabs: "components/step_tabs.js",
      theme_button: "components/theme_button.js",
      tick_box: "lab/tick_box.js",
      token_pairs: "compare/token_pairs.js",
      tokens: "components/tokens.js",
      training_replay: "lab/training_replay.js",
      upload: "components/upload.js",
      variants: "variants/controller.js",
      visitor: "lab/visitor.js",
      why_token: "components/why_token.js",
    },
  },
  {
    folder: "attnpanel/ui/bundles",
    format: "iife",
    entries: {
      live_model: "live_model/worker.js",
      start_page: "served/start.js",
      start_report: "report/start.js",
      start_session: "served/session.js",
    },
  },
  {
    folder: "attnpanel/kernels/javascript",
    format: "esm",
    platform: "node",
    extension: ".mjs", // a module, whatever package.json applies
    entries: { node_process: "kernels/node_process.js" },
  },
  {
    folder: "attnpanel/bench/bundles",
    format: "esm",
    entries: {
      certificate: "bench/certificate.js",
      error_choices: "bench/error_choices.js",
      family_choice: "bench/family_choice.js",
      progress: "bench/progress.js",
      theme: "bench/theme.js",
    },
  },
  {
    folder: "attnpanel/bench/bundles",
    format: "iife",
    entries: {
      offline_bench: "offline_bench/page.js",
      offline_bench_worker: "offline_bench/worker.js",
      report_probe: "bench/report_probe.js",
      ui_probe: "bench/ui_probe.js",
    },
  },
];

/**
 * Bundles everything in memory; returns texts by path relative to the repository's root.
 *
 * @returns {Promise<Map<string, string>>}
 */
async function bundles() {
  const made = new Map();
  for (const { folder, format, platform = "browser", extension = ".js", entries } of BUNDLES) {
    const { outputFiles } = await build({
      absWorkingDir: SOURCES,
      entryPoints: entries,
      outdir: join(ROOT, folder),
      outExtension: { ".js": extension },
      bundle: true,
      minify: true,
      write: false,
      format,
      platform,
      charset: "utf8",
      legalComments: "none",
      // The oldest browsers of a report, as named in report/start.js, and the oldest Node.js.
      target: platform === "node" ? "node20" : ["chrome93", "firefox113", "safari16.4"],
      logLevel: "warning",
    });
    for (const { path, text } of outputFiles) made.set(relative(ROOT, path).replaceAll("\\", "/"), text);
  }
  return made;
}

/**
 * Stale files in the bundles' folders.
 *
 * @param {Map<string, string>} made
 */
async function leftOver(made) {
  const folders = [...new Set(BUNDLES.map(({ folder }) => folder))].filter((folder) => folder.endsWith("bundles"));
  const listed = await Promise.all(
    folders.map(async (folder) => (await readdir(join(ROOT, folder))).map((name) => `${folder}/${name}`)),
  );
  return listed.flat().filter((path) => path.endsWith(".js") && !made.has(path));
}

const made = await bundles();
if (process.argv.includes("--check")) {
  const stale = [];
  for (const [path, text] of made) {
    const kept = await readFile(join(ROOT, path), "utf8").catch(() => null);
    if (kept !== text) stale.push(path);
  }
  stale.push(...(await leftOver(made)));
  for (const path of stale) console.error(`${path} differs from its sources in js/: run \`make js\``);
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  for (const folder of new Set([...made.keys()].map(dirname))) await mkdir(join(ROOT, folder), { recursive: true });
  for (const [path, text] of made) await writeFile(join(ROOT, path), text);
  for (const path of await leftOver(made)) await unlink(join(ROOT, path));
}
