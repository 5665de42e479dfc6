"""The report as one self-contained HTML page."""

from __future__ import annotations

import base64
import math
import mimetypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from string import Template

from swath.errors import InputError
from swath.judge.ledger import verdict_text
from swath.judge.table import check_repeats, contender, mean_and_deviation
from swath.judge.verdict import control_state
from swath.types import Outcome, Picture, Report, ResultRow
from swath.types.result import FRACTIONS

ORDER = ("accuracy", "miou", "f1", "balanced_accuracy", "kappa", "mae", "rmse", "r2", "pearson", "bias", "mape")
MARKS = {
    "holds": "good",
    "holds weakly": "good",
    "equivalent": "even",
    "does not hold": "bad",
}

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

PAGE = Template("""<!DOCTYPE html>
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
<p class="quiet">$system &middot; data: <strong>$data</strong> &middot; $wall &middot; peak memory $memory MiB</p>
</header>
<main>
$sections
</main>
</body>
</html>
""")


def render(report: Report, *, command: str, environment: Mapping[str, str], files: Mapping[str, str]) -> str:
    """The page as text.

    Args:
        report: what was measured; the pictures must exist.
        command: the command that repeats the run.
        environment: versions, as ``resources.environment`` gives them.
        files: products by name, relative to the folder of the report.
    """
    sections = [
        _section("Pictures", "".join(_figure(picture, report.data) for picture in report.pictures)),
        _section("Scores", _scores(report.rows)),
        _section("Claims", _claims(report.claims, report.data)),
        _section("Notes", _list(escape(note) for note in report.notes)),
        _section("Per class", _per_class(report.rows)),
        _section("Files", _list(f'{escape(name)}: <a href="{escape(p)}">{escape(p)}</a>' for name, p in files.items())),
        _section("How to reproduce", _reproduce(command, environment)),
    ]
    return PAGE.substitute(
        style=STYLE,
        title=escape(report.title),
        system=escape(report.system),
        data=escape(report.data),
        wall=_duration(report.wall_s),
        memory=f"{report.peak_rss_mb:.0f}",
        sections="\n".join(section for section in sections if section),
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{body}\n</section>" if body else ""


def _scores(rows: Sequence[ResultRow]) -> str:
    """One table per place: contenders down, metrics across."""
    tables = []
    for place, here in _split([row for row in rows if row.class_name is None], _place).items():
        names = dict.fromkeys(row.metric for row in here)
        metrics = sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
        body = [
            [escape(who)] + [_cell([row for row in mine if row.metric == metric]) for metric in metrics]
            for who, mine in _split(here, contender).items()
        ]
        tables.append(html_table(["contender", *map(_head, metrics)], body, _caption(place, here)))
    return "\n".join(tables)


def _per_class(rows: Sequence[ResultRow]) -> str:
    """One table per contender and place: classes down, metrics across."""
    tables = []
    classes = [row for row in rows if row.class_name is not None]
    for place, here in _split(classes, lambda row: f"{contender(row)}; {_place(row)}").items():
        metrics = list(dict.fromkeys(row.metric for row in here))
        body = [
            [escape(name)] + [_cell([row for row in mine if row.metric == metric]) for metric in metrics]
            for name, mine in _split(here, lambda row: str(row.class_name)).items()
        ]
        tables.append(html_table(["class", *map(_head, metrics)], body, _caption(place, here)))
    return "\n".join(tables)


def _split(rows: Sequence[ResultRow], name: Callable[[ResultRow], str]) -> dict[str, list[ResultRow]]:
    """Rows by name, names in the order of their first row."""
    parts: dict[str, list[ResultRow]] = {}
    for row in rows:
        parts.setdefault(name(row), []).append(row)
    return parts


def _place(row: ResultRow) -> str:
    """Where a number was measured; numbers of different places never share a table."""
    parts = [str(row.dataset)] if row.dataset else []
    for column in ("split", "protocol", "group", "corruption", "severity", "label_fraction", "k_shot", "variant"):
        value = getattr(row, column)
        if value is not None:
            parts.append(f"{column.replace('_', ' ')} {value}")
    return ", ".join(parts) or "all data"


def _caption(place: str, rows: Sequence[ResultRow]) -> str:
    """The place, the number of samples, and what the rows note about means and intervals."""
    numbers = sorted({row.n_test for row in rows if row.n_test is not None})
    size = f"; {numbers[0]} test samples" if len(numbers) == 1 else ""
    parts = {part for row in rows for part in (row.note or "").split("; ")}
    notes = sorted(part for part in parts if part.startswith(("interval", "mean")))
    return escape(f"{place}{size}" + "".join(f"; {note}" for note in notes))


def _cell(rows: Sequence[ResultRow]) -> str:
    """Value with interval and data kind; mean and deviation where there are several seeds."""
    if not rows:
        return ""
    first = rows[0]
    try:
        check_repeats(rows, first.metric)
    except InputError:  # not repetitions of one measurement: show each, never their mean
        return "<br>".join(_cell([row]) for row in rows)
    scale = 100.0 if first.metric in FRACTIONS | {"excluded_share"} else 1.0
    kind = f' <span class="data">{escape(first.data_kind)}</span>'
    if len(rows) > 1:
        text = mean_and_deviation([row.value for row in rows], scale)
        return f'{text} <span class="interval">{len(rows)} runs</span>{kind}'
    if not math.isfinite(first.value):
        return f"undefined{kind}"
    digits = 1 if scale > 1 else 3
    text = f"{first.value * scale:.{digits}f}"
    if first.ci_low is not None and first.ci_high is not None:
        bounds = f"{first.ci_low * scale:.{digits}f} to {first.ci_high * scale:.{digits}f}"
        text += f' <span class="interval">[{bounds}]</span>'
    return text + kind


def _head(metric: str) -> str:
    name = escape(metric.replace("_", " "))
    return f"{name} [%]" if metric in FRACTIONS | {"excluded_share"} else name


def _claims(outcomes: Iterable[Outcome], data: str) -> str:
    body = []
    for outcome in outcomes:
        claim = outcome.claim
        mark = MARKS.get(outcome.verdict, "even")
        measured = "not measured"
        if outcome.measured is not None:
            measured = f"{outcome.measured:+.4f}"
            if outcome.low is not None and outcome.high is not None:
                measured += f' <span class="interval">[{outcome.low:+.4f} to {outcome.high:+.4f}]</span>'
            measured += f' <span class="data">{escape(claim.data)}</span>'
        kind = " (primary)" if claim.primary else f" ({claim.control_kind} control)" if claim.control_kind else ""
        name = escape(claim.name + kind)
        notes = [part for part in (control_state(outcome), outcome.note) if part]
        note = f'<br><span class="quiet">{escape("; ".join(notes))}</span>' if notes else ""
        registered = escape(outcome.registered[:12] if outcome.registered else "not yet")
        if outcome.registered and outcome.registered.endswith("(amended)"):
            registered += " (amended)"
        body.append(
            [
                f'{name}<br><span class="quiet">{escape(claim.statement)}</span>',
                escape(claim.published),
                measured,
                f"{claim.margin:g}",
                str(outcome.seeds),
                f'<span class="verdict {mark}">{escape(verdict_text(outcome))}</span>{note}',
                escape(claim.scope),
                registered,
            ]
        )
    heads = ["claim", "published", "measured difference", "margin", "seeds", "verdict", "scope", "registered"]
    caption = f"Differences in the claimed direction, in the unit of the metric. This run: {escape(data)} data."
    return html_table(heads, body, caption, text=(1, 5, 6, 7)) if body else ""


def _figure(picture: Picture, data: str) -> str:
    kind = mimetypes.guess_type(picture.path.name)[0] or "image/png"
    content = base64.b64encode(picture.path.read_bytes()).decode("ascii")
    caption = escape(picture.caption)
    return (
        f'<figure><img src="data:{kind};base64,{content}" alt="{caption}">'
        f'<figcaption>{caption} <span class="data">{escape(data)}</span></figcaption></figure>\n'
    )


def _reproduce(command: str, environment: Mapping[str, str]) -> str:
    versions = ", ".join(f"{escape(name)} {escape(version)}" for name, version in environment.items())
    return f'<pre><code>{escape(command)}</code></pre>\n<p class="quiet">{versions}</p>'


def _list(items: Iterable[str]) -> str:
    lines = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else ""


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


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.1f} seconds"
