"""A report as Markdown and as one self-contained HTML page."""

import base64
import re
import shlex
from collections.abc import Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import quote

from coordnet.reports.tables import WORDS, Table, markdown

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 76rem; margin: 2rem auto;
  padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin-bottom: 0.5rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.5rem; padding-bottom: 0.2rem; border-bottom: 1px solid #ddd; }
p { max-width: 60rem; margin: 0.5rem 0; }
pre { background: #f5f5f3; padding: 0.7rem 1rem; border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 0.8rem 0; }
table { border-collapse: collapse; font-size: 0.87rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #eee; }
thead th { border-bottom: 1px solid #999; vertical-align: bottom; }
tbody th { font-weight: 600; }
tbody tr:nth-child(even) { background: #fafaf8; }
.text { text-align: left; }
.long { white-space: normal; min-width: 22rem; text-align: left; }
.star { font-weight: 600; }
.warning { background: #fff6e0; border-left: 3px solid #d99a1c; padding: 0.5rem 0.8rem; }
figure { margin: 0.8rem 0; }
img { max-width: 100%; height: auto; }
a { color: #1857a4; }
@media print {
  body { max-width: none; margin: 0; padding: 0; font-size: 10pt; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  th, td { white-space: normal; padding: 0.15rem 0.3rem; }
  h2 { break-after: avoid; }
  tr, img { break-inside: avoid; }
  a { color: inherit; text-decoration: none; }
}
"""

# Columns of long text.
LONG = ("reason", "value")


class ReportFigure(NamedTuple):
    """A figure of a report.

    Attributes:
        name: Name of the file beside the report.
        alt: Alternative text.
        data: Content of the file.
        embedded: Content of the image in the HTML page.
        type: Media type of `embedded`, such as image/png.
    """

    name: str
    alt: str
    data: bytes
    embedded: bytes
    type: str


class Section(NamedTuple):
    """A part of a report.

    Attributes:
        title: Heading.
        words: Text, or "".
        figure: Figure, or None.
        table: Table, or None.
        links: True if the first column of the table names directories beside the report.
        warning: True if the text is a warning.
    """

    title: str
    words: str = ""
    figure: ReportFigure | None = None
    table: Table | None = None
    links: bool = False
    warning: bool = False


def to_markdown(title: str, command: Sequence[str], sections: Sequence[Section]) -> str:
    """Format a report as Markdown."""
    lines = [f"# {title}", ""]
    if command:
        lines += [f"    {shlex.join(command)}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        if section.words:
            lines += [section.words, ""]
        if section.figure:
            lines += [f"![{section.figure.alt}]({section.figure.name})", ""]
        if section.table:
            lines += [*markdown(_with_links(section.table) if section.links else section.table), ""]
    return "\n".join(lines)


def _with_links(table: Table) -> Table:
    first = next(iter(table[0]))
    return [line | {first: f"[{line[first]}]({quote(line[first])}/)"} for line in table]


def to_html(title: str, command: Sequence[str], sections: Sequence[Section]) -> str:
    """Format a report as HTML with embedded images."""
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>",
        f"<body><h1>{escape(title)}</h1>",
    ]
    if command:
        parts.append(f"<pre>{escape(shlex.join(command))}</pre>")
    for section in sections:
        parts.append(f"<section><h2>{escape(section.title)}</h2>")
        if section.words:
            kind = ' class="warning"' if section.warning else ""
            parts.append(f"<p{kind}>{escape(section.words)}</p>")
        if section.figure:
            parts.append(_image(section.figure))
        if section.table:
            parts += _html_table(section.table, section.links)
        parts.append("</section>")
    return "\n".join([*parts, "</body></html>", ""])


def _image(figure: ReportFigure) -> str:
    data = base64.b64encode(figure.embedded).decode()
    tag = f'<img alt="{escape(figure.alt)}" src="data:{figure.type};base64,{data}">'
    return f'<figure><a href="{quote(figure.name)}">{tag}</a></figure>'


def _html_table(table: Table, links: bool) -> list[str]:
    first = next(iter(table[0]))
    heads = "".join(f"<th{_cell_class(head)}>{escape(head)}</th>" for head in table[0])
    lines = ["<div class=scroll><table>", f"<thead><tr>{heads}</tr></thead><tbody>"]
    for line in table:
        cells = []
        for head, cell in line.items():
            text = escape(cell)
            if head == first and links:
                text = f'<a href="{quote(cell)}/">{text}</a>'
            tag = "th" if head == first else "td"
            cells.append(f"<{tag}{_cell_class(head, cell)}>{text}</{tag}>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return [*lines, "</tbody></table></div>"]


def _cell_class(head: str, cell: str = "") -> str:
    """Return the class attribute of a cell."""
    if head in LONG:
        return " class=long"
    if head in WORDS:
        return " class=text"
    return " class=star" if re.search(r"\] \*$", cell) else ""
