// Bokeh gives each of a page's two hundred shadow roots a copy of the same few style elements: most of the
// page's elements. Here the roots share constructed style sheets, one a text. Called before any view is made.

function shareStyles({ require }) {
  const { InlineStyleSheet, GlobalInlineStyleSheet } = require("core/dom");
  const { DOMComponentView } = require("core/dom_view");
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
  /** Takes a style out of the root it is in; false where it is in none. */
  const release = (style) => {
    if (!style.root) return false;
    style.root.adoptedStyleSheets = style.root.adoptedStyleSheets.filter((sheet) => sheet !== style.sheet);
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
      this.own ??= this.css === "" ? construct("") : null;
      this.sheet = this.own ?? share(this.css);
      this.root = root;
      root.adoptedStyleSheets = [...root.adoptedStyleSheets.filter((sheet) => sheet !== this.sheet), this.sheet];
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
        const sheets = this.root.adoptedStyleSheets;
        this.root.adoptedStyleSheets = sheets.map((sheet) => (sheet === this.sheet ? this.own : sheet));
        this.sheet = this.own;
      }
    },
  });
  DOMComponentView.prototype.empty = function emptyOfStylesToo() {
    this.shadow_el.adoptedStyleSheets = [];
    empty.call(this);
  };
}
