"""Pages of HTML that need no server: one shell, one style, tables and pictures inside."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template

STYLE = """
:root { --ink: #1b1f24; --quiet: #57606a; --paper: #ffffff; --line: #d0d7de; --band: #f6f8fa;
  --good: #005a8c; --even: #57606a; --bad: #a34700; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --quiet: #9aa4af; --paper: #0d1117; --line: #30363d; --band: #161b22;
    --good: #6cc0f5; --even: #9aa4af; --bad: #f0a35e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 62rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 .3rem; font-size: 1.7rem; } h2 { margin: 2.2rem 0 .6rem; font-size: 1.2rem; }
.quiet, caption, figcaption { color: var(--quiet); font-size: .9rem; }
caption { text-align: left; padding-bottom: .4rem; }
.scroll { overflow-x: auto; margin-bottom: 1.4rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 100%; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
thead th { background: var(--band); }
.interval { color: var(--quiet); font-size: .85em; white-space: nowrap; }
.data { font-size: .75em; border: 1px solid var(--line); border-radius: .6em; padding: 0 .45em; color: var(--quiet); }
.verdict { font-weight: 600; } .good { color: var(--good); } .even { color: var(--even); } .bad { color: var(--bad); }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
pre { background: var(--band); padding: .8rem; overflow-x: auto; border-radius: 4px; }
"""

_SHELL = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="quiet">$about</p>
</header>
<main>
$sections
</main>
</body>
</html>
""")


def html_page(title: str, about: str, sections: Iterable[str], *, style: str = "") -> str:
    """A whole page.

    Args:
        title: plain text.
        about: what stands below the title, as HTML.
        sections: parts of the page as HTML; empty ones are left out.
        style: rules of this page alone, after those of all pages.
    """
    body = "\n".join(each for each in sections if each)
    return _SHELL.substitute(title=escape(title), about=about, style=STYLE + style, sections=body)


def html_section(title: str, body: str) -> str:
    """A part with its heading; nothing where the body is empty."""
    return f"<section><h2>{escape(title)}</h2>\n{body}\n</section>" if body else ""


def html_list(items: Iterable[str]) -> str:
    """A list of items that are HTML already; nothing where there are none."""
    lines = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else ""


def html_figure(picture: Path, caption: str, data: str) -> str:
    """A picture from a file, inside the page, with its caption (plain text) and the kind of data that it shows."""
    kind = mimetypes.guess_type(picture.name)[0] or "image/png"
    content = base64.b64encode(picture.read_bytes()).decode("ascii")
    text = escape(caption)
    return (
        f'<figure><img src="data:{kind};base64,{content}" alt="{text}">'
        f'<figcaption>{text} <span class="data">{escape(data)}</span></figcaption></figure>\n'
    )


def html_table(heads: Sequence[str], body: Sequence[Sequence[str]], caption: str, text: Sequence[int] = ()) -> str:
    """A table from cells that are HTML already; columns in ``text`` are set flush left."""

    def row(cells: Sequence[str], tag: str) -> str:
        kinds = [' class="text"' if index in text else "" for index in range(len(cells))]
        return "<tr>" + "".join(f"<{tag}{k}>{c}</{tag}>" for k, c in zip(kinds, cells, strict=True)) + "</tr>"

    lines = "\n".join(row(cells, "td") for cells in body)
    return (
        f'<div class="scroll"><table><caption>{caption}</caption>\n<thead>{row(heads, "th")}</thead>\n'
        f"<tbody>\n{lines}\n</tbody></table></div>"
    )
