import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { fetchTextsApart } from "../bokeh_patches/session_texts.js";

const page = /** @type {any} */ (globalThis);
const { fetch } = page;
const MARK = "\0attnpanel-text 0";

afterEach(() => {
  page.fetch = fetch;
  delete page.Bokeh;
  delete page[Symbol.for("attnpanel.patches")];
});

/**
 * Pulls a document by a patched connection.
 *
 * @param {object} content what the server answers to the request for it apart
 * @param {() => Promise<object>} answer to the request for its texts
 */
async function pulled(content, answer) {
  const asked = /** @type {unknown[]} */ ([]);
  class ClientConnection {
    /** @param {unknown} message */
    send_with_reply(message) {
      asked.push(message);
      return { content, buffers: ["a buffer"] };
    }
    _pull_doc_json() {
      return "the whole document";
    }
  }
  const Message = { create: (/** @type {unknown[]} */ ...parts) => parts };
  const modules = /** @type {any} */ ({ "client/connection": { ClientConnection }, "protocol/message": { Message } });
  page.Bokeh = { require: (/** @type {string} */ name) => modules[name] };
  page.fetch = (/** @type {string} */ address) => {
    asked.push(address);
    return answer();
  };
  fetchTextsApart();
  return { document: await new ClientConnection()._pull_doc_json(), asked };
}

const APART = ["PULL-DOC-REQ", {}, { texts: "apart" }];
const document = () => ({ roots: [{ css: MARK }] });
const texts = async () => ({ ok: true, json: async () => ["a {}"] });

test("a document is put together from what the server and the cache have", async () => {
  const { document: put, asked } = await pulled({ doc: document(), texts: "tag" }, texts);

  assert.deepEqual(asked, [APART, "common-texts/tag.json"]);
  assert.deepEqual(put, { doc_json: { roots: [{ css: "a {}" }] }, buffers: ["a buffer"] });
});

test("a server that sends it whole is not asked again", async () => {
  const { document: put, asked } = await pulled({ doc: "whole" }, texts);

  assert.deepEqual(asked, [APART]);
  assert.deepEqual(put, { doc_json: "whole", buffers: ["a buffer"] });
});

for (const [what, answer] of /** @type {[string, () => Promise<object>][]} */ ([
  ["are gone", async () => ({ ok: false })],
  ["can't be fetched", () => Promise.reject(new TypeError("Failed to fetch"))],
  ["are not texts", async () => ({ ok: true, json: () => Promise.reject(new SyntaxError("not JSON")) })],
]))
  test(`the whole document is asked for where its texts ${what}`, async () => {
    assert.equal((await pulled({ doc: document(), texts: "tag" }, answer)).document, "the whole document");
  });

test("where Bokeh has the connection elsewhere nothing is patched", () => {
  page.Bokeh = { require: () => ({}) };

  fetchTextsApart();

  assert.equal(page[Symbol.for("attnpanel.patches")].get("session_texts"), false);
});
