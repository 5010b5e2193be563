import { general } from "../core/format.js";
import { t } from "../core/translate.js";
import { element } from "./dom.js";

/**
 * The tokens that a head promotes and demotes: a list for the key alone, and one for the whole row. Numbers are text, bars
 * repeat them.
 *
 * @param {import("../explorer/promoted_tokens.js").PromotedContent} content
 */
export function promotedTokens({ names: [query, key], pair, row }) {
  const made = element("div", "attn-why-promoted");
  made.append(list(t("by “{key}” alone, with its weight", { key }), pair));
  if (row) made.append(list(t("by the whole row of “{query}”", { query }), row));
  else made.append(element("p", "attn-caption muted", t("By the whole row: known only as the model ran, with its own mask and temperature 1.")));
  return made;
}

/** @param {string} title @param {import("../explorer/promoted_tokens.js").TokenLogits} tokens */
function list(title, tokens) {
  const made = element("div");
  const most = tokens.reduce((largest, [, logit]) => Math.max(largest, Math.abs(logit)), 0) || 1;
  const items = element("ol");
  items.setAttribute("aria-label", title);
  items.append(
    ...tokens.map(([token, logit]) => {
      const item = element("li", logit < 0 ? "attn-why-demoted" : "");
      const track = element("span", "attn-why-promotes");
      const bar = element("i");
      bar.style.width = `${(50 * Math.abs(logit)) / most}%`;
      track.append(bar);
      const number = `${logit < 0 ? "−" : "+"}${general(Math.abs(logit), 3)}`;
      item.append(element("code", "", token.trim() === "" ? "␣" : token), track, element("b", "", number));
      return item;
    }),
  );
  made.append(element("h5", "", title), tokens.length ? items : element("p", "attn-caption muted", t("Nothing: it adds 0 to every logit.")));
  return made;
}
