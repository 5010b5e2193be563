"""The components written in JavaScript, as Python hands them to a page."""

from __future__ import annotations

from bokeh.document import Document

from attnpanel.browser.components import Interaction, TokenStrip, Words


def test_modules_run_as_they_are_written_and_each_is_kept_by_its_own_name():
    components = [TokenStrip(), Words(), Words(text="other"), Interaction()]
    models = [component.get_root(Document()) for component in components]

    # Panel translates what has no bundle's name, in every reader's browser.
    names = [model.bundle for model in models]
    assert None not in names
    assert names[1] == names[2]
    assert len(set(names)) == 3
