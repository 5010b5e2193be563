// Fetch the code of components and the styles of a session's document apart from it, from the browser's cache if they are there.
//
// They are two thirds of what a session's page is sent at each visit. Spares 0.2 MB (compressed) of each further visit, and
// the server packs a third. Called before a session is opened. Since Bokeh 3.8 (attnpanel/pages/serving/common_texts.py).

import { putTextsBack } from "../core/common_texts.js";
import { patch } from "./patch.js";

export function fetchTextsApart() {
  patch(
    "session_texts",
    (bokeh) => [
      [bokeh.require("client/connection").ClientConnection?.prototype, "_pull_doc_json", "send_with_reply"],
      [bokeh.require("protocol/message").Message, "create"],
    ],
    pullTextsApart,
  );
}

/** @param {any} connections @param {any} Message */
function pullTextsApart(connections, Message) {
  const whole = connections._pull_doc_json;
  connections._pull_doc_json = async function () {
    const { content, buffers } = await this.send_with_reply(Message.create("PULL-DOC-REQ", {}, { texts: "apart" }));
    if (typeof content.texts !== "string") return "doc" in content ? { doc_json: content.doc, buffers } : whole.call(this);
    try {
      const answer = await fetch(`common-texts/${content.texts}.json`);
      if (answer.ok) return { doc_json: putTextsBack(content.doc, await answer.json()), buffers };
    } catch {
      // The connection tells whether the server is away.
    }
    return whole.call(this);
  };
}
