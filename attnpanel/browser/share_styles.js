// Bokeh gives each of a page's two hundred shadow roots a copy of the same few style elements: most of the
// page's elements. Here the roots share constructed style sheets, one a text. Called before any view is made.

function shareStyles({ require }) {
  const { InlineStyleSheet, GlobalInlineStyleSheet } = require("core/dom");
  const { DOMComponentView } = require("core/dom_view");
  // Another Bokeh may have other ways: then its own styles stay.
  if (typeof InlineStyleSheet.prototype._update !== "function" || !DOMComponentView.prototype.empty) return;
  const { install, uninstall, remove, _update: update } = InlineStyleSheet.prototype;
  const { empty } = DOMComponentView.prototype;
  const shared = new Map();

  const construct = (text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    return sheet;
  };
  const share = (text) => {
    if (!shared.has(text)) shared.set(text, construct(text));
    return shared.get(text);
  };
  /** Puts other sheets in the place of a style's; a root may hold the same sheet for two styles. */
  const exchange = ({ root, sheet }, ...others) => {
    const sheets = [...root.adoptedStyleSheets];
    const at = sheets.lastIndexOf(sheet);
    if (at >= 0) sheets.splice(at, 1, ...others);
    root.adoptedStyleSheets = sheets;
  };
  /** Takes a style out of the root it is in; false where it is in none. */
  const release = (style) => {
    if (!style.root) return false;
    exchange(style);
    style.root = null;
    return true;
  };

  Object.assign(InlineStyleSheet.prototype, {
    install(root) {
      if (!(root instanceof ShadowRoot) || this instanceof GlobalInlineStyleSheet) {
        install.call(this, root);
        return;
      }
      release(this);
      // One that is empty is written later, for this root alone.
      if (!this.own && this.css === "") this.own = construct("");
      this.sheet = this.own || share(this.css);
      this.root = root;
      root.adoptedStyleSheets = [...root.adoptedStyleSheets, this.sheet];
    },
    uninstall() {
      if (!release(this)) uninstall.call(this);
    },
    remove() {
      if (!release(this)) remove.call(this);
    },
    _update(css) {
      update.call(this, css); // its element keeps the text
      if (this.own) this.own.replaceSync(css);
      else if (this.root) {
        this.own = construct(css);
        exchange(this, this.own);
        this.sheet = this.own;
      }
    },
  });
  DOMComponentView.prototype.empty = function emptyOfStylesToo() {
    this.shadow_el.adoptedStyleSheets = [];
    empty.call(this);
  };
}
