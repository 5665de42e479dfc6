"""The ledger for people: one table per system, controls beside the claim that they guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.judge.ledger import outcomes, registrations_in, verdict_text
from swath.judge.verdict import control_state
from swath.types import Outcome

LEDGER_HEADS = ("claim\n  data\n  scope\n  registered", "measured\n[low, high]", "margin", "seeds", "verdict\ncontrols")
AMENDED = " (amended)"


@dataclass(frozen=True)
class SystemLedger:
    """What the ledger holds of one system.

    Args:
        system: its slug.
        registration: its file.
        outcomes: the primary claim first, then the exploratory ones, then the controls.
    """

    system: str
    registration: Path
    outcomes: tuple[Outcome, ...]

    @property
    def controls(self) -> tuple[Outcome, ...]:
        """The controls among the outcomes."""
        return tuple(each for each in self.outcomes if each.claim.control_kind)

    def lines(self) -> list[tuple[str, ...]]:
        """One tuple of texts under ``LEDGER_HEADS`` per claim; texts may have several lines."""
        return [self._line(outcome) for outcome in self.outcomes]

    def _line(self, outcome: Outcome) -> tuple[str, ...]:
        claim = outcome.claim
        name = claim.name + (" (primary)" if claim.primary else "")
        about = f"{claim.data}\n  {claim.scope}\n  {registered_text(outcome.registered)}"
        verdict = [verdict_text(outcome)]
        if claim.control_kind:
            verdict.append(f"{should(outcome)}:\n{control_state(outcome)}")
        elif claim.primary and self.controls:
            verdict.append(f"controls:\n{controls_text(self.controls)}")
        numbers = f"{claim.margin:.3f}", str(outcome.seeds)
        return (f"{name}\n  {about}", measured_text(outcome, "\n"), *numbers, "\n".join(verdict))


def ledger(directory: Path | str | None = None) -> tuple[SystemLedger, ...]:
    """The systems of the ledger in alphabetical order.

    Raises:
        InputError: there is no such directory, or a file in it cannot be read.
        MissingError: no directory was named and there is no ledger here.
    """
    folder = registrations_in(directory)
    return tuple(SystemLedger(path.stem, path, _ordered(outcomes(path))) for path in sorted(folder.glob("*.toml")))


def measured_text(outcome: Outcome, between: str = " ") -> str:
    """The difference with its interval, signed and in the unit of the metric."""
    if outcome.measured is None:
        return "-"
    text = f"{outcome.measured:+.3f}"
    if outcome.low is None or outcome.high is None:
        return text
    return f"{text}{between}[{outcome.low:+.3f}, {outcome.high:+.3f}]"


def registered_text(registered: str | None) -> str:
    """The first eight digits of the commit, with the mark of an amended registration."""
    if registered is None:
        return "not yet"
    return registered[:8] + (AMENDED if registered.endswith(AMENDED) else "")


def should(outcome: Outcome) -> str:
    """What is expected of a control."""
    return "should hold" if outcome.claim.control_kind == "positive" else "should not hold"


def controls_text(controls: Sequence[Outcome]) -> str:
    """How many controls did as they should; failed ones by name."""
    states = {outcome.claim.name: control_state(outcome) for outcome in controls}
    failed = [name for name, state in states.items() if state == "fails"]
    if failed:
        return f"{', '.join(failed)} failed"
    if all(state == "not measured" for state in states.values()):
        return "not measured"
    return f"{sum(state == 'as it should' for state in states.values())} of {len(states)} sound"


def _ordered(found: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    """Primary, exploratory, controls; otherwise as registered."""
    return tuple(sorted(found, key=lambda outcome: 2 if outcome.claim.control_kind else int(not outcome.claim.primary)))
