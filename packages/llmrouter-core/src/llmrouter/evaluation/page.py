"""An evaluation as one HTML page: the picture and the table, readable in light and dark."""

from __future__ import annotations

from html import escape

from llmrouter.evaluation.labels import INK, PAPER, QUIET
from llmrouter.evaluation.plot import FAINT, PALETTE, render
from llmrouter.evaluation.report import headings, share_text, table_rows
from llmrouter.evaluation.result import Evaluation

# Colour in the picture to its name in the style sheet and what it is on a dark page.
_COLORS = {
    INK: ("ink", "#E8E6E3"),
    QUIET: ("quiet", "#A3A19D"),
    FAINT: ("faint", "#34363A"),
    PAPER: ("paper", "#17191C"),
    **{
        color: (f"router{number}", dark)
        for number, (color, dark) in enumerate(
            zip(PALETTE, ("#56A8E8", "#F2874B", "#3CC79B", "#E39CC5", "#F0B840", "#8CCBF2"), strict=True)
        )
    },
}

_STYLE = """
:root { color-scheme: light dark; %(light)s }
@media (prefers-color-scheme: dark) { :root { %(dark)s } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; font-weight: 600; }
svg { width: 100%%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; vertical-align: top; padding: .35rem .7rem;
  border-bottom: 1px solid var(--faint); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--quiet); font-weight: 600; }
small { color: var(--quiet); display: block; white-space: nowrap; }
"""


def page(evaluation: Evaluation) -> bytes:
    """Return a page that needs no other file.

    Raises:
        MissingExtraError: matplotlib is not installed.
        LLMRouterError: As `render` does.
    """
    picture = render(evaluation, "svg").decode()
    picture = picture[picture.index("<svg") :]
    for color, (name, _) in _COLORS.items():
        picture = picture.replace(color.lower(), f"var(--{name})")
    picture = picture.replace("<svg", '<svg role="img" aria-label="Cost-quality curves of the routers"', 1)
    style = _STYLE % {
        "light": " ".join(f"--{name}: {color};" for color, (name, _) in _COLORS.items()),
        "dark": " ".join(f"--{name}: {dark};" for name, dark in _COLORS.values()),
    }
    outcomes = evaluation.outcomes
    about = [f"{len(outcomes.queries):,} queries", f"LLMs: {', '.join(outcomes.llms)}"]
    if evaluation.weak:
        about.append(f"weak: {evaluation.weak}, strong: {evaluation.strong}")
    if outcomes.left_out:
        about.append(f"{outcomes.left_out:,} queries left out, for something of them is missing")
    about.append(f"seed {evaluation.seed}")
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Evaluation of {escape(_names(evaluation))}</title>\n<style>{style}</style>\n</head>\n<body>",
        f"<h1>Evaluation of {escape(_names(evaluation))}</h1>\n<p>{escape('; '.join(about))}.</p>",
        picture,
        f'<div class="wide">{_table(evaluation)}</div>',
        f"<p>Small: 95 % bootstrap intervals of {evaluation.resamples:,} resamples.</p>"
        if evaluation.resamples
        else "",
        *(f"<p>{escape(note)}</p>" for note in _notes(evaluation)),
        "</body>\n</html>\n",
    ]
    return "\n".join(filter(None, parts)).encode()


def _names(evaluation: Evaluation) -> str:
    return ", ".join(result.routed.label for result in evaluation.routers)


def _table(evaluation: Evaluation) -> str:
    rows = table_rows(evaluation)
    columns = {key: text for key, text in headings(evaluation).items() if any(row[key] for row in rows)}
    head = "".join(f"<th>{escape(text)}</th>" for text in columns.values())
    for row in rows:
        row["name"] = "\n".join(filter(None, (row["name"], row["llm"])))
    body = "".join(f"<tr>{''.join(_cell(row[key]) for key in columns)}</tr>\n" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"


def _cell(text: str | None) -> str:
    main, _, below = (text or "").partition("\n")
    return f"<td>{escape(main)}{f'<small>{escape(below)}</small>' if below else ''}</td>"


def _notes(evaluation: Evaluation) -> list[str]:
    notes = []
    for result in evaluation.routers:
        told = [f"chose {share_text(result)}"] if result.share else []
        if result.routed.failures:
            told.append(f"{len(result.routed.failures):,} queries failed and are left out")
        notes.append(f"{result.routed.label}: {'; '.join([*told, *result.notes])}.")
    return notes
