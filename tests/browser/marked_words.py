"""`attnpanel` with one language more, in which every text stands in ⟦ ⟧, and what a page shows.

What stands outside of the brackets is data, or a text that is not translated.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from attnpanel.ui import words

LANGUAGE = "eo"  # axe knows real ones only
# Every text that a reader sees, a run of inline text each, and names for those who hear the page.
SHOWN = """() => {
  const texts = []
  const inline = (node) => getComputedStyle(node).display.startsWith("inline")
  // What has no box of its own counts as hidden, whatever is in it.
  const visible = (node) =>
    getComputedStyle(node).display === "contents" ||
    node.checkVisibility({ visibilityProperty: true })
  const skipped = "script, style, noscript, textarea, canvas, option[lang], [translate=no]"
  const walk = (root, run) => {
    for (const node of root.childNodes) {
      if (node.nodeType === Node.TEXT_NODE) run.push(node.textContent)
      if (!(node instanceof Element) || node.matches(skipped)) continue
      if (!visible(node)) continue
      for (const name of ["title", "aria-label", "placeholder", "alt"])
        if (node.hasAttribute(name)) texts.push(node.getAttribute(name))
      const part = inline(node) && !node.shadowRoot ? run : []
      walk(node, part)
      if (node.shadowRoot) walk(node.shadowRoot, part)
      if (part !== run) texts.push(part.join(" "))
    }
  }
  const whole = []
  walk(document.body, whole)
  texts.push(whole.join(" "))
  return texts.map((text) => text.replace(/\\s+/g, " ").trim()).filter(Boolean)
}"""


def marked(text: str) -> str:
    """Return a text of the source in this language."""
    return f"⟦{text}⟧"


def unmarked(text: str) -> str:
    """Return what of a shown text stands outside of brackets."""
    while "⟦" in text and (inside := re.sub("⟦[^⟦⟧]*⟧", "", text)) != text:
        text = inside
    return text


def untranslated(page: Page, data: re.Pattern[str]) -> list[str]:
    """Return the texts on screen that hold a word which is neither translated nor data."""
    rest = {text: data.sub("", unmarked(text)) for text in page.evaluate(SHOWN)}
    return sorted(text for text, left in rest.items() if re.search("[A-Za-z]{2,}|⟦|⟧", left))


def add_language(texts: list[str], folder: Path) -> None:
    """Have this process know the language, beside those of the package."""
    content = {"language": "⟦ ⟧", "words": {text: marked(text) for text in texts}}
    for path in words.FOLDER.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / f"{LANGUAGE}.json").write_text(json.dumps(content), encoding="utf-8")
    words.FOLDER = folder
    words.languages.cache_clear()


if __name__ == "__main__":
    from attnpanel.__main__ import main
    from docs.write_words import texts_in_source

    with tempfile.TemporaryDirectory() as made:
        add_language(texts_in_source(), Path(made))
        sys.exit(main(sys.argv[1:]))
