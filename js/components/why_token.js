import { fixed, general, twoDigits } from "../core/format.js";
import { t } from "../core/translate.js";
import { clip } from "../views/colours.js";
import { ColourBar } from "./colour_bar.js";
import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { promotedTokens } from "./promoted_tokens.js";
import { section } from "./section.js";
import { numberTable } from "./table.js";
import { waterfall } from "./waterfall.js";
import { withSymbols } from "./words.js";

// The card that explains a weight, on demand: its score channel by channel, the steps to the weight, what the head
// writes, and all of it as tables. Every text goes through textContent.

/**
 * @typedef {import("../explorer/why_token.js").WhyContent} WhyContent
 * @typedef {import("./waterfall.js").Order} Order
 */

/** @type {[Order, string][]} */
const ORDERS = [
  ["product", t("by product")],
  ["channel", t("by channel")],
];
// Widths in pixels of a letter, and beside a part's name.
const LETTER = 6.7;
const INDENT = 9;

class WhyCard {
  /** @type {Order} */
  order = "product";
  /** whether the tables are open */
  listed = false;
  /** whether the reader has just opened the card, which is then brought into view */
  entered = false;
  width = 0;
  root = element("details", "attn-details attn-why");
  inside = element("div", "attn-details-inside");
  chart = element("div", "attn-why-chart");
  legend = new ColourBar();

  /** @param {ComponentModel<Dispatching<{content: Partial<WhyContent>, opened: boolean}>>} model */
  constructor(model) {
    this.model = model;
    this.root.open = model.opened;
    this.root.append(element("summary", "", t("Why this token: where its score comes from, and what the head writes")), this.inside);
    this.root.addEventListener("toggle", () => {
      this.entered = this.root.open && !model.opened;
      dispatch(model, { why: this.root.open });
      this.draw();
    });
    model.on("opened", () => {
      this.root.open = model.opened;
    });
    model.on("content", () => this.draw());
    const sized = new ResizeObserver(() => {
      if (this.chart.clientWidth !== this.width) this.drawChart();
    });
    sized.observe(this.chart);
    model.on("remove", () => {
      sized.disconnect();
      this.legend.resized.disconnect();
    });
  }

  draw() {
    const content = /** @type {WhyContent} */ (this.model.content);
    if (!this.root.open || content.tables === undefined) {
      this.inside.replaceChildren();
      return;
    }
    const focused = /** @type {ShadowRoot} */ (this.root.getRootNode()).activeElement?.getAttribute("data-mark");
    const heading = element("h3", "", content.asked);
    // Its event may not have arrived yet.
    this.listed = this.inside.querySelector("details")?.open ?? this.listed;
    heading.append(" ", element("code", "", content.pair), element("small", "", ` ${content.place}`));
    this.inside.replaceChildren(heading, ...content.missing.map((text) => element("p", "attn-caption muted", text)));
    if (content.channels.length) this.inside.append(this.product(content), this.chart);
    if (content.steps.length) this.inside.append(section(content.channels.length ? 2 : 1, t("From product to share"), t("grey: a step that changes nothing here")), steps(content));
    if (content.parts.length) this.inside.append(parts(content, this.inside.clientWidth));
    if (content.written.length) this.inside.append(...this.written(content));
    if (content.promoted) this.inside.append(this.promoted(content), promotedTokens(content.promoted));
    this.inside.append(this.tables(content));
    this.drawChart();
    if (focused) /** @type {?HTMLElement} */ (this.inside.querySelector(`[data-mark="${focused}"]`))?.focus({ preventScroll: true });
    if (this.entered) this.root.scrollIntoView({ block: "nearest" });
    this.entered = false;
  }

  /** @param {WhyContent} content */
  product({ channels, paired, legend }) {
    const what = paired ? t("a bar a pair of [channels|channel] rotated together (RoPE)") : t("a bar a [channel]");
    const head = section(1, t("Multiply query and key channel by channel, and add up"), what);
    if (legend) {
      this.legend.show({ ...legend, words: "", masked: false });
      head.append(this.legend.line);
    }
    if (channels.length > 1) {
      const buttons = element("span", "attn-why-orders");
      buttons.setAttribute("role", "group");
      buttons.setAttribute("aria-label", t("Order of the bars"));
      for (const [order, label] of ORDERS) {
        const button = element("button", "attn-plain-button", label);
        button.dataset.mark = order;
        button.ariaPressed = String(order === this.order);
        button.addEventListener("click", () => {
          this.order = order;
          this.draw();
        });
        buttons.append(button);
      }
      head.append(buttons);
    }
    return head;
  }

  drawChart() {
    this.width = this.chart.clientWidth;
    const content = /** @type {WhyContent} */ (this.model.content);
    if (this.width > 0 && content.channels?.length) this.chart.replaceChildren(waterfall(content, this.order, this.width));
  }

  /** @param {WhyContent} content */
  written({ written, projected, meanNorm, indices: [query, chosen], left, remark, steps: before, channels }) {
    const number = 1 + Number(before.length > 0) + Number(channels.length > 0);
    const about = projected
      ? t("weight × length of its value after the output projection W_O; the line: the same weight with a value of average length")
      : t("weight × length of its value; the line: the same weight with a value of average length");
    const head = section(number, t("What the head writes from each key"), about);
    const most = written.reduce((longest, { norm, weight }) => Math.max(longest, norm, weight * meanNorm), 0) || 1;
    const decimals = clip(2 - Math.floor(Math.log10(most)), 0, 6);
    const list = element("div", "attn-why-written");
    list.append(
      ...written.map(({ key, name, weight, norm, valueNorm, share }) => {
        const row = element("button", "attn-why-key");
        row.dataset.mark = `key ${key}`;
        row.ariaPressed = String(key === chosen);
        const track = element("span", "attn-why-track");
        const [bar, mark] = [element("i"), element("u")];
        bar.style.width = `${(100 * norm) / most}%`;
        mark.style.left = `${(100 * weight * meanNorm) / most}%`;
        track.append(bar, mark);
        const shown = [element("b", "", fixed(norm, decimals)), element("span", "attn-why-weight", `${fixed(100 * weight, 1)} %`)];
        shown[0].prepend(element("span", "attn-unseen", `${t("writes")} `));
        shown[1].prepend(element("span", "attn-unseen", `${t("with weight")} `));
        row.append(element("code", "", name.trim() === "" ? "␣" : name), track, ...shown);
        const part = Number.isNaN(share) ? t("the output is 0") : t("{share} % of the output", { share: general(100 * share, 3) });
        const numbers = { weight: general(weight, 3), length: general(valueNorm, 3), part };
        row.title = projected ? t("weight {weight} × value {length} long after W_O; {part}", numbers) : t("weight {weight} × value {length} long; {part}", numbers);
        row.addEventListener("click", () => dispatch(this.model, { pair: [query, key] }));
        return row;
      }),
    );
    const after = [left && element("p", "attn-caption muted", left), remark && element("p", "attn-why-remark", remark)];
    return [head, list, ...after.filter((node) => node !== "")];
  }

  /** @param {WhyContent} content */
  promoted({ promoted, steps: before, channels, written }) {
    const number = 1 + [before, channels, written].filter(({ length }) => length > 0).length;
    return section(number, t("Which tokens that promotes"), t("what it adds, directly, to the [logits] of the token after “{token}”", { token: promoted?.names[0] }));
  }

  /** @param {WhyContent} content */
  tables({ tables }) {
    const made = element("details", "attn-details");
    made.open = this.listed;
    const summary = element("summary", "", t("All of it as tables: Q, K, V and the row"));
    summary.dataset.mark = "tables";
    const inside = element("div", "attn-details-inside");
    made.append(summary, inside);
    const fill = () => {
      this.listed = made.open;
      inside.replaceChildren(
        ...(made.open ? tables : []).flatMap((table) => [element("h4", "", table.caption), numberTable(table), ...(table.left ? [element("p", "attn-caption muted", table.left)] : [])]),
      );
    };
    made.addEventListener("toggle", fill);
    fill();
    return made;
  }
}

/** @param {WhyContent} content */
function steps({ steps: taken }) {
  const list = element("ol", "attn-details-steps");
  list.append(
    ...taken.map(({ number, words, same }) => {
      const item = element("li", same ? "attn-same" : "");
      const said = element("span");
      said.append(...withSymbols(words));
      item.append(element("b", "", number.replace("-", "−")), said);
      return item;
    }),
  );
  return list;
}

/** @param {WhyContent} content @param {number} width of the strip, in pixels */
function parts({ parts: shares, whole, indices: [, chosen] }, width) {
  const made = element("div", "attn-why-parts");
  const strip = element("div", "attn-why-strip");
  strip.setAttribute("role", "img");
  const texts = shares.map(({ name, part }) => `${name} ${twoDigits(100 * part)} %`);
  strip.setAttribute("aria-label", t("The row of weights: {weights}", { weights: texts.join(", ") }));
  strip.append(
    ...shares.map(({ name, part, key }, at) => {
      const said = [texts[at], name].find((text) => part * width >= text.length * LETTER + INDENT) ?? "";
      const piece = element("span", key === null ? "attn-why-others" : key === chosen ? "attn-why-chosen" : "", said);
      piece.style.flexGrow = String(Math.max(part, 1e-4));
      piece.title = texts[at];
      return piece;
    }),
  );
  made.append(strip, element("small", "", whole));
  return made;
}

/** @param {Props<Dispatching<{content: Partial<WhyContent>, opened: boolean}>>} props */
export function render({ model }) {
  const card = new WhyCard(model);
  card.draw();
  return card.root;
}
