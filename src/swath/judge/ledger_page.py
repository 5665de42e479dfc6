"""The ledger as one HTML page that needs no server: verdicts, intervals, and how old they are."""

from __future__ import annotations

import datetime
from html import escape
from pathlib import Path

from swath.files import write_text
from swath.judge.fresh import fresh_seeds, standing_text, standings
from swath.judge.ledger import Evidence, read_evidence, verdict_text
from swath.judge.ledger_table import SystemLedger, controls_text, ledger, measured_text, registered_text, should
from swath.judge.markup import html_page, html_section, html_table
from swath.judge.page import MARKS
from swath.judge.rerun import read_reruns
from swath.judge.verdict import control_state
from swath.types import Outcome

WIDTH, HEIGHT, BORDER = 200, 34, 8
HEADS = ("claim", "published", "measured difference", "interval", "margin", "seeds", "verdict", "scope", "data",
         "registered")  # fmt: skip

_STYLE = "body { max-width: 84rem; } svg { display: block; } .verdict { white-space: nowrap; }\n"


def write_ledger_page(
    path: Path | str, directory: Path | str | None = None, today: datetime.date | None = None
) -> Path:
    """Write the page.

    Args:
        path: file to write.
        directory: folder of the registrations; the project's by default.
        today: day from which ages count; that of UTC by default.

    Raises:
        InputError: there is no such directory, or a registration, evidence or list of reruns cannot be read.
        MissingError: no directory was named and there is no ledger here.
    """
    day = today or datetime.datetime.now(datetime.UTC).date()
    systems = ledger(directory)
    count = sum(len(system.outcomes) for system in systems)
    counts = f"{_counted(count, 'claim')} of {_counted(len(systems), 'system')}"
    about = (
        f"{counts}; written on {day.isoformat()}. Every claim was registered before it was measured. Differences are "
        "in the claimed direction and in the unit of the metric. In a picture the line is the interval, the dot the "
        "estimate, the thin line no difference, and the band what is smaller than the margin."
    )
    sections = [_section(system, day) for system in systems] or ["<p>No claim is registered.</p>"]
    return write_text(Path(path), html_page("The ledger of claims", about, sections, style=_STYLE))


def interval_picture(outcome: Outcome) -> str:
    """The interval as inline SVG: margin as a band, no difference as a thin line; empty where nothing was measured."""
    if outcome.measured is None:
        return ""
    margin = outcome.claim.margin
    low = outcome.measured if outcome.low is None else outcome.low
    high = outcome.measured if outcome.high is None else outcome.high
    reach = 1.15 * max(abs(low), abs(high), 2 * margin)

    def across(value: float) -> str:
        return f"{BORDER + (WIDTH - 2 * BORDER) * (value + reach) / (2 * reach):.1f}"

    middle, band = HEIGHT / 2, float(across(margin)) - float(across(-margin))
    kind = MARKS.get(outcome.verdict, "even")
    label = escape(f"{measured_text(outcome)}, margin {margin:g}, {verdict_text(outcome)}")
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>'
        f'<rect x="{across(-margin)}" y="2" width="{band:.1f}" height="{HEIGHT - 4}" fill="var(--line)"/>'
        f'<line x1="{across(0)}" x2="{across(0)}" y1="0" y2="{HEIGHT}" stroke="var(--quiet)" stroke-width="1"/>'
        f'<line x1="{across(low)}" x2="{across(high)}" y1="{middle:g}" y2="{middle:g}" stroke="var(--{kind})" '
        f'stroke-width="3"/><circle cx="{across(outcome.measured)}" cy="{middle:g}" r="5" fill="var(--{kind})"/></svg>'
    )


def age(evidence: Evidence | None, reruns: tuple[str, ...], today: datetime.date) -> str:
    """How long ago the evidence and its last rerun are, in words.

    Args:
        evidence: what was measured; None when nothing was.
        reruns: ISO dates of the reruns.
        today: the day to count from.
    """
    if evidence is None:
        return "Not measured yet."
    text = f"Measured on {evidence.date}, {_days(evidence.date.isoformat(), today)}; "
    if not reruns:
        return text + "never rerun."
    return f"{text}last rerun on {max(reruns)}, {_days(max(reruns), today)} ({_counted(len(reruns), 'rerun')})."


def _section(system: SystemLedger, today: datetime.date) -> str:
    evidence, reruns = read_evidence(system.registration), read_reruns(system.registration)
    lines = [age(evidence, tuple(each.date for each in reruns), today)]
    if evidence is not None:
        code = f"Code {evidence.code_commit[:8]}{'' if evidence.code_clean else ', with changes not committed'}; "
        lines.append(f"{code}data {evidence.data_hash or 'without a hash'}; tolerance {evidence.tolerance:g}.")
    again = [each for each in reruns if not each.fresh]
    if again:
        last = again[-1]
        lines.append(f"Last rerun of a stored seed, {last.seed}: {last.differing} of {last.values} values differed;")
        lines.append(f"largest difference {last.largest_difference:.3g}.")
    lines.append(standing_text(standings(system.registration), fresh_seeds(system.registration)))
    body = [_cells(system, outcome) for outcome in system.outcomes]
    table = html_table(HEADS, body, escape(" ".join(line for line in lines if line)), text=(1, 3, 6, 7, 8, 9))
    return html_section(system.system, table)


def _cells(system: SystemLedger, outcome: Outcome) -> list[str]:
    claim = outcome.claim
    kind = f" ({claim.control_kind} control)" if claim.control_kind else " (primary)" if claim.primary else ""
    verdict = f'<span class="verdict {MARKS.get(outcome.verdict, "even")}">{escape(verdict_text(outcome))}</span>'
    notes = [outcome.note]
    if claim.control_kind:
        notes.append(f"{should(outcome)}: {control_state(outcome)}")
    elif claim.primary and system.controls:
        notes.append(f"controls: {controls_text(system.controls)}")
    return [
        f'{escape(claim.name + kind)}<br><span class="quiet">{escape(claim.statement)}</span>',
        escape(claim.published),
        _measured(outcome),
        interval_picture(outcome),
        f"{claim.margin:g}",
        str(outcome.seeds),
        verdict + "".join(f'<br><span class="quiet">{escape(note)}</span>' for note in notes if note),
        escape(claim.scope),
        f'<span class="data">{escape(claim.data)}</span>',
        escape(registered_text(outcome.registered)),
    ]


def _measured(outcome: Outcome) -> str:
    value, _, interval = measured_text(outcome).partition(" ")
    return value + (f'<br><span class="interval">{escape(interval)}</span>' if interval else "")


def _days(date: str, today: datetime.date) -> str:
    days = (today - datetime.date.fromisoformat(date)).days
    return "today" if days == 0 else f"{_counted(days, 'day')} ago" if days > 0 else f"in {_counted(-days, 'day')}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
