"""A certificate as one HTML page: no scripts, no network, readable in print."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attnpanel.bench.certify.badge import badge_svg, badge_words
from attnpanel.bench.certify.serving import describe_invariance
from attnpanel.bench.certify.serving_laws import LAWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from attnpanel.bench.certify.document import Certificate, Margin

STYLES: Final = Path(__file__).with_name("document.css")
MAX_FAILURES: Final = 5
MAX_REASON: Final = 240
CHECKS_IN_WORDS: Final = {
    "shape": "the shape of the output",
    "dtype": "its dtype",
    "device": "its device",
    "output": "every element against the reference, and in 16 bits the sums of a head",
    "every row": "rows outside the sample of a large case",
    "weights": "returned weights",
    "logsumexp": "returned log-sum-exp",
    "masked keys": "hidden keys and values change no bit",
    "key order": "the order of keys changes nothing",
    "query order": "the order of queries gives that of outputs",
    "shift": "a constant added to a row's scores changes nothing",
    "identity value": "with V = identity, weights sum to 1 and hidden ones are 0",
    "empty rows": "a query without keys",
    "hidden contents": "nan and inf in hidden keys",
    "visible contents": "nan and inf in what a query uses",
    "other mask": "the mask with further keys hidden",
    "infinite bias": "keys that a bias of -inf hides",
    "many heads": "65,544 heads",
    "other numbers": "one small case in up to 128 heads, or sequences",
    "other lengths": "the first keys, queries or channels of a case: 128 lengths",
    "strided inputs": "inputs that are not contiguous",
    "changed inputs": "other values at the same addresses",
    "repeated calls": "up to 50 calls of one preparation, each with memory of its own",
    "determinism": "the same bits twice; inputs, and what lies around them, left alone",
    "d query": "the gradient of the query against the reference",
    "d key": "that of the key",
    "d value": "that of the value",
    "d bias": "that of the bias",
    "hidden keys": "hidden keys, and queries without keys, have gradients of exactly 0",
    "sums of products": "Σ q · dq = Σ k · dk",
    "equal values": "all values equal: dQ = dK = 0",
    "one row": "dO in one row: dV are its weights",
    "shifted keys": "a vector added to every key changes no dQ",
    "doubled": "2 dO doubles every bit",
}


def certificate_html(certificate: Certificate) -> str:
    """Return a certificate as an HTML document; whatever it holds is shown as text."""
    subject = escape(certificate.subject.name)
    sections = [
        _verdict(certificate),
        _section("What was judged", _list(certificate.scope), half=True),
        _section("What is not covered", _list(certificate.not_covered), half=True),
        _section("Margins", _margins(certificate)),
        _section("Failures", _failures(certificate)),
        _section("Checks", _checks(certificate)),
        _section("How a sequence may be split among calls", _invariances(certificate)),
        _section("What it was seen to do", _facts(certificate.properties)),
        _section("Subject and reference", _facts(_subject(certificate))),
        _section("Repeat it", _repeat(certificate)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        '<meta name="color-scheme" content="light dark">'
        f"<title>{subject}: {escape(badge_words(certificate))}</title>"
        f"<style>{STYLES.read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )


def _verdict(certificate: Certificate) -> str:
    worst = max(certificate.margins, key=lambda margin: margin.units, default=None)
    lines = [escape(certificate.summary)]
    not_finite = sum(margin.not_finite for margin in certificate.margins)
    if not_finite:
        lines.append(f"Not finite in {not_finite} cases, of which the error is no number.")
    if worst is not None:
        other = "other " if not_finite else ""
        lines.append(
            f"Largest {other}error: {_units(worst.units)} units of rounding error, up to "
            f"{worst.limit:g} pass; in <code>{escape(worst.case)}</code>{_at(worst)}."
        )
    date = certificate.environment.date_utc[:10]
    return (
        f'<header class="{certificate.verdict}"><p class="kind">Certificate of attention · '
        f"{escape(date)}</p><h1>{escape(certificate.subject.name)}</h1>"
        f'<p class="badge">{badge_svg(certificate)}</p>'
        f"{''.join(f'<p>{line}</p>' for line in lines)}</header>"
    )


def _at(margin: Margin) -> str:
    """Return where the error of a margin is, in words."""
    if margin.worst is None or len(margin.worst) != 4:
        return ""
    batch, head, query, channel = margin.worst
    return f", batch entry {batch}, head {head}, query {query}, channel {channel}"


def _units(units: float) -> str:
    return f"{units:.2f}" if units < 1000 else f"{units:.1e}"


def _margins(certificate: Certificate) -> str:
    rows = []
    for margin in certificate.margins:
        share = min(margin.units / margin.limit, 1)
        over = ' class="over"' if margin.units > margin.limit else ""
        bar = f'<span class="bar"><i{over} style="width:{share:.0%}"></i></span>'
        rows.append(
            [
                escape(margin.dtype),
                str(margin.passed),
                _count(margin.not_finite),
                _units(margin.units),
                f"{margin.limit:g}",
                bar,
                f"<code>{escape(margin.case)}</code>",
            ]
        )
    head = ["dtype", "cases passed", "not finite", "largest error, units", "limit", "", "in case"]
    return _table(head, rows)


def _failures(certificate: Certificate) -> str:
    wrong = [case for case in certificate.cases if case.verdict in ("fail", "error")]
    found = [
        f"<li><code>{escape(case.case)}</code>: {escape(_shortened('; '.join(case.reasons)))}</li>"
        for case in wrong[:MAX_FAILURES]
    ]
    more = len(wrong) - len(found)
    rest = f"<p>{more} more, and the whole reasons, are in the JSON file.</p>" if more else ""
    return f"<ul>{''.join(found)}</ul>{rest}" if found else ""


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}…"


def _checks(certificate: Certificate) -> str:
    rows = [
        [
            f"{escape(check.name)}<small>{escape(CHECKS_IN_WORDS.get(check.name, ''))}</small>",
            str(check.passed),
            _count(check.failed),
            _count(check.errors),
        ]
        for check in certificate.checks
    ]
    return _table(["check", "passed", "failed", "raised"], rows, kind="compact")


def _count(number: int) -> str:
    return f'<b class="over">{number}</b>' if number else "0"


def _invariances(certificate: Certificate) -> str:
    dtypes = list(dict.fromkeys(found.dtype for found in certificate.invariances))
    by_cell = {(found.law, found.dtype): found for found in certificate.invariances}
    rows = []
    for law, (_, words) in LAWS.items():
        cells = [by_cell.get((law, dtype)) for dtype in dtypes]
        shown = [
            "" if found is None else escape(describe_invariance(found)).replace(" %", "&nbsp;%")
            for found in cells
        ]
        rows.append([f"{escape(law)}<small>{escape(words)}</small>", *shown])
    note = (
        "<p>Properties, not verdicts. “Within” gives the largest difference as a share of what "
        "rounding explains: in 16 bits a last bit and 8·√2 standard deviations, else two units.</p>"
    )
    return _table(["law", *map(escape, dtypes)], rows) + note if dtypes else ""


def _subject(certificate: Certificate) -> dict[str, str]:
    subject, environment = certificate.subject, certificate.environment
    own = certificate.reference_error_units
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
    return {
        "subject": f"{subject.kind}, {certificate.framework}, file {subject.file or 'not known'}",
        "SHA-256 of its source": subject.source_sha256 or "none: its source can't be read",
        "SHA-256 of its file": subject.file_sha256 or "none",
        "reference": certificate.reference,
        "the reference's own error": (
            "not measured: longdouble is float64 here"
            if own is None
            else f"{own:.1e} units of float32, against longdouble"
        ),
        "machine": f"{environment.cpu_model}, {environment.cores} cores; {environment.os}",
        "versions": f"{environment.python}; {versions}",
        "threads": str(certificate.threads),
        "commit of attnpanel": (environment.commit or "not known")
        + (", changed since" if environment.dirty else ""),
    }


def _repeat(certificate: Certificate) -> str:
    command = certificate.command or "no command: the function is in no module"
    facts = {
        "seed": f"{certificate.seed}, added to the seed of every case",
        "digest": f"{certificate.digest}, SHA-256 of the JSON file's content. It shows that the "
        "file was changed, not who wrote it: repeat the command.",
    }
    return f"<pre><code>{escape(command)}</code></pre>{_facts(facts)}"


def _section(title: str, content: str, *, half: bool = False) -> str:
    """Return a card, of half the page's width where it is wide enough; empty without content."""
    kind = ' class="half"' if half else ""
    return f"<section{kind}><h2>{escape(title)}</h2>{content}</section>" if content else ""


def _list(items: Iterable[str]) -> str:
    found = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{found}</ul>" if found else ""


def _facts(facts: dict[str, str]) -> str:
    found = (f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>" for name, words in facts.items())
    return f"<dl>{''.join(found)}</dl>"


def _table(head: Sequence[Any], rows: Sequence[Sequence[str]], *, kind: str = "") -> str:
    """Return a table of cells that are HTML already; empty without rows."""
    if not rows:
        return ""
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}"><thead><tr>'
        f"{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )
