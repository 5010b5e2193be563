"""The badge of a certificate, an SVG to put beside a link to it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from attnpanel.bench.certify.document import Certificate

LABEL: Final = "attention"
# White text on each has a contrast of at least 4.5.
COLOURS: Final = {"pass": "#1a7f37", "fail": "#b42318", "error": "#8a5300"}
LETTER_WIDTH: Final = 6.6
PADDING: Final = 8


def badge_words(certificate: Certificate) -> str:
    """Return the verdict in a few words: ``"certified in 214 cases"``."""
    verdicts = [case.verdict for case in certificate.cases]
    judged = len(verdicts) - verdicts.count("unsupported")
    match certificate.verdict:
        case "pass":
            return f"certified in {judged} cases"
        case "fail":
            return f"wrong in {verdicts.count('fail')} of {judged} cases"
    return "not certified"


def badge_svg(certificate: Certificate) -> str:
    """Return the badge as an SVG document of its own, without fonts or links."""
    words = badge_words(certificate)
    left, right = (round(LETTER_WIDTH * len(text) + 2 * PADDING) for text in (LABEL, words))
    title = escape(f"{LABEL}: {words}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="22" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="badge-round"><rect width="{left + right}" height="22" rx="4"/></clipPath>'
        f'<g clip-path="url(#badge-round)"><rect width="{left}" height="22" fill="#3a4150"/>'
        f'<rect x="{left}" width="{right}" height="22" fill="{COLOURS[certificate.verdict]}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-size="12" '
        'font-family="system-ui, Verdana, DejaVu Sans, sans-serif">'
        f'<text x="{left / 2:g}" y="15.5">{LABEL}</text>'
        f'<text x="{left + right / 2:g}" y="15.5">{escape(words)}</text></g></svg>'
    )
