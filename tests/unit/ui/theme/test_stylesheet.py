"""The style sheets of pages: no rule shows what Panel has hidden."""

import re

from attnpanel.ui.theme import stylesheet

RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")


def test_a_class_of_a_widget_is_no_class_of_an_element_with_a_display_of_its_own():
    # Panel hides a widget by a rule in its shadow root; one of the page around it, for elements of
    # the same class, would show it again.
    text = re.sub(r"/\*.*?\*/", "", stylesheet(), flags=re.DOTALL)
    hosts = set(re.findall(r":host\(\.([\w-]+)", text))
    shown = {
        selector.strip()
        for selectors, body in RULE.findall(text)
        if re.search(r"(^|[;\s])display\s*:\s*(?!none)", body)
        for selector in selectors.split(",")
    }
    assert "attn-number" in hosts
    assert ".attn-writing-number" in shown
    assert [one for one in sorted(shown) if one.startswith(".") and one[1:] in hosts] == []
