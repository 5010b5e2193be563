import { fixed, signed } from "../core/format.js";
import { t } from "../core/translate.js";
import { dispatch } from "./dispatch.js";
import { element } from "./dom.js";
import { section } from "./section.js";
import { numberTable } from "./table.js";

// The card that takes the difference of two heads' scores apart, on demand. Every text goes through textContent.

/**
 * @typedef {import("../compare/score_contrast.js").ContrastContent} ContrastContent
 * @typedef {import("../compare/score_contrast.js").Loading} Loading
 */

const SIDES = ["A", "B"];

class ContrastCard {
  chosen = 0;
  listed = false;
  root = element("details", "attn-details attn-why");
  inside = element("div", "attn-details-inside");

  /** @param {ComponentModel<Dispatching<{content: Partial<ContrastContent>, opened: boolean}>>} model */
  constructor(model) {
    this.model = model;
    this.root.open = model.opened;
    this.root.append(element("summary", "", t("What tells the scores of A and B apart")), this.inside);
    this.root.addEventListener("toggle", () => {
      if (this.root.open !== model.opened) dispatch(model, { contrast: this.root.open });
      this.draw();
    });
    model.on("opened", () => {
      this.root.open = model.opened;
    });
    model.on("content", () => this.draw());
  }

  draw() {
    const content = /** @type {ContrastContent} */ (this.model.content);
    if (!this.root.open || content.components === undefined) return this.inside.replaceChildren();
    const focused = /** @type {ShadowRoot} */ (this.root.getRootNode()).activeElement?.getAttribute("data-mark");
    this.listed = this.inside.querySelector("details")?.open ?? this.listed;
    const heading = element("h3", "", t("Queries times keys: what differs between A and B"));
    heading.append(" ", element("small", "", content.place));
    this.inside.replaceChildren(heading);
    if (content.missing) this.inside.append(element("p", "attn-caption muted", content.missing));
    if (content.components.length === 0) return;
    this.chosen = Math.min(this.chosen, content.components.length - 1);
    this.inside.append(
      section(1, t("Components of the difference"), t("share of the squared differences of all pairs · what it adds to the shown pair")),
      this.components(content),
      element("p", "attn-caption muted", [content.sentence, content.left].filter(Boolean).join(" ")),
      section(2, t("Component {number}: the tokens that it moves most", { number: this.chosen + 1 }), t("scores along it, in A above and in B below")),
      this.loadings(content),
      element("p", "attn-why-remark", t("These directions are of these two sides only: other texts may differ by others.")),
      this.tables(content),
    );
    if (focused) /** @type {?HTMLElement} */ (this.inside.querySelector(`[data-mark="${focused}"]`))?.focus({ preventScroll: true });
  }

  /** @param {ContrastContent} content */
  components({ components }) {
    const list = element("div", "attn-why-written attn-contrast-components");
    list.append(
      ...components.map(({ share, part }, at) => {
        const row = element("button", "attn-why-key");
        row.dataset.mark = `component ${at}`;
        row.ariaPressed = String(at === this.chosen);
        const track = element("span", "attn-why-track");
        const bar = element("i");
        bar.style.width = `${100 * share}%`;
        track.append(bar);
        const shown = [element("b", "", `${fixed(100 * share, 1)} %`), element("span", "attn-why-weight", part === null ? "–" : signed(part))];
        shown[1].prepend(element("span", "attn-unseen", `${t("adds")} `));
        row.append(element("span", "", t("component {number}", { number: at + 1 })), track, ...shown);
        row.addEventListener("click", () => {
          this.chosen = at;
          this.draw();
        });
        return row;
      }),
    );
    return list;
  }

  /** @param {ContrastContent} content */
  loadings({ components }) {
    const { moved } = components[this.chosen];
    const reach = Math.max(...[...moved.queries, ...moved.keys].flatMap(({ a, b }) => [Math.abs(a), Math.abs(b)]));
    /** @param {string} title @param {"row" | "column"} chooses @param {Loading[]} loadings */
    const side = (title, chooses, loadings) => {
      const made = element("div");
      const head = element("div", "attn-contrast-token attn-contrast-head");
      head.append(element("h5", "", title), ...SIDES.map((name) => element("span", `attn-contrast-${name.toLowerCase()}`, name)));
      made.append(head, ...loadings.map((loading) => this.loading(loading, chooses, reach)));
      return made;
    };
    const made = element("div", "attn-why-promoted");
    made.append(side(t("as queries"), "row", moved.queries), side(t("as keys"), "column", moved.keys));
    return made;
  }

  /** @param {Loading} loading @param {"row" | "column"} chooses @param {number} reach */
  loading({ name, place, a, b }, chooses, reach) {
    const row = element("button", "attn-why-key attn-contrast-token");
    row.dataset.mark = `${chooses} ${place}`;
    const track = element("span", "attn-contrast-track");
    track.append(
      ...[a, b].map((score, side) => {
        const bar = element("i", side === 0 ? "attn-contrast-a" : "attn-contrast-b");
        bar.style.left = `${50 + Math.min(0, (50 * score) / reach)}%`;
        bar.style.width = `${(50 * Math.abs(score)) / reach}%`;
        return bar;
      }),
    );
    const token = element("code", "", name.trim() === "" ? "␣" : name);
    token.translate = false;
    const shown = [a, b].map((score, side) => {
      const number = element("b", "", signed(score));
      number.prepend(element("span", "attn-unseen", `${SIDES[side]} `));
      return number;
    });
    row.append(token, track, ...shown);
    row.addEventListener("click", () => dispatch(this.model, { [chooses]: place }));
    return row;
  }

  /** @param {ContrastContent} content */
  tables({ tables }) {
    const made = element("details", "attn-details");
    made.open = this.listed;
    const summary = element("summary", "", t("All of it as tables"));
    summary.dataset.mark = "tables";
    const inside = element("div", "attn-details-inside");
    const fill = () => {
      this.listed = made.open;
      inside.replaceChildren(...(made.open ? tables[this.chosen] : []).flatMap((table) => [element("h4", "", table.caption), numberTable(table)]));
    };
    made.append(summary, inside);
    made.addEventListener("toggle", fill);
    fill();
    return made;
  }
}

/** @param {Props<Dispatching<{content: Partial<ContrastContent>, opened: boolean}>>} props */
export function render({ model }) {
  const card = new ContrastCard(model);
  card.draw();
  return card.root;
}
