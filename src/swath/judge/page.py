"""The report as one self-contained HTML page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from swath.errors import InputError
from swath.judge.ledger import verdict_text
from swath.judge.markup import html_figure, html_list, html_page, html_section, html_table
from swath.judge.table import check_repeats, contender, mean_and_deviation
from swath.judge.verdict import control_state
from swath.types import Outcome, Report, ResultRow
from swath.types.result import FRACTIONS

ORDER = ("accuracy", "miou", "f1", "balanced_accuracy", "kappa", "mae", "rmse", "r2", "pearson", "bias", "mape")
MARKS = {
    "holds": "good",
    "holds weakly": "good",
    "equivalent": "even",
    "does not hold": "bad",
}


def render(report: Report, *, command: str, environment: Mapping[str, str], files: Mapping[str, str]) -> str:
    """The page as text.

    Args:
        report: what was measured; the pictures must exist.
        command: the command that repeats the run.
        environment: versions, as ``resources.environment`` gives them.
        files: products by name, relative to the folder of the report.
    """
    sections = [
        html_section(
            "Pictures", "".join(html_figure(each.path, each.caption, report.data) for each in report.pictures)
        ),
        html_section("Scores", _scores(report.rows)),
        html_section("Claims", _claims(report.claims, report.data)),
        html_section("Notes", html_list(escape(note) for note in report.notes)),
        html_section("Per class", _per_class(report.rows)),
        html_section(
            "Files", html_list(f'{escape(n)}: <a href="{escape(p)}">{escape(p)}</a>' for n, p in files.items())
        ),
        html_section("How to reproduce", reproduce(command, environment)),
    ]
    about = (
        f"{escape(report.system)} &middot; data: <strong>{escape(report.data)}</strong> &middot; "
        f"{_duration(report.wall_s)} &middot; peak memory {report.peak_rss_mb:.0f} MiB"
    )
    return html_page(report.title, about, sections)


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


def reproduce(command: str, environment: Mapping[str, str]) -> str:
    """The command that repeats a run, and the versions that it ran with."""
    versions = ", ".join(f"{escape(name)} {escape(version)}" for name, version in environment.items())
    return f'<pre><code>{escape(command)}</code></pre>\n<p class="quiet">{versions}</p>'


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.1f} seconds"
