from __future__ import annotations

import datetime
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from judge_samples import REGISTRATION, Repository
from typer.testing import CliRunner

from swath.cli import app
from swath.errors import ConfigError, InputError
from swath.judge import decide, ledger, rerun, write_evidence, write_ledger_page
from swath.judge.ledger_page import BORDER, WIDTH, age, interval_picture
from swath.judge.ledger_table import controls_text
from swath.types import Claim, ResultRow

CONTROL = """
[[claim]]
name = "{name}"
statement = "A control <of> the experiment"
estimand = "as above"
metric = "miou"
margin = 0.01
contender = "{contender}"
baseline = "forest"
seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
"""


class Counter(HTMLParser):
    """Counts tags and notes those left open."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def controlled(registration: Path, repository: Repository, evidence_rows: list[ResultRow]) -> Path:
    """A registration with a control that is measured and one that is not, and its evidence."""
    controls = CONTROL.format(name="negative_control_shuffled", contender="shuffled")
    controls += CONTROL.format(name="positive_control", contender="unet")
    registration.write_text(controls.join((REGISTRATION, "")))
    repository.commit("register")
    write_evidence(registration, evidence_rows, data_hash="d1")
    repository.commit("evidence")
    return registration


def test_no_registration_at_all(tmp_path: Path) -> None:
    path = write_ledger_page(tmp_path / "page.html", tmp_path)
    assert "No claim is registered" in path.read_text()
    assert "0 claims of 0 systems" in path.read_text()
    assert ledger(tmp_path) == ()
    with pytest.raises(InputError, match="no directory"):
        ledger(tmp_path / "nowhere")


def test_controls_stand_beside_their_claim(controlled: Path, repository: Repository) -> None:
    (system,) = ledger(controlled.parent)
    assert [each.claim.name for each in system.controls] == ["negative_control_shuffled", "positive_control"]
    first, second, negative, positive = system.lines()
    commit = repository.git("rev-list", "--max-parents=0", "HEAD")[:8]
    assert first[0] == f"beats-forest (primary)\n  real\n  mechanism at desk scale\n  {commit}"
    assert re.fullmatch(r"\+0\.05\d\n\[\+0\.04\d, \+0\.05\d\]", first[1])
    assert first[2:] == ("0.010", "10", "holds\ncontrols:\n1 of 2 sound")
    assert second[4] == "holds"
    assert negative[1:] == ("-", "0.010", "0", "not measured\nshould not hold:\nnot measured")
    assert positive[4] == "holds\nshould hold:\nas it should"
    controlled.write_text(controlled.read_text() + "# changed\n")
    assert ledger(controlled.parent)[0].lines()[0][0].endswith(f"desk scale\n  {commit} (amended)")


def test_a_failed_control_is_named() -> None:
    facts = {"statement": "s", "estimand": "e", "metric": "m", "margin": 0.1, "contender": "a", "baseline": "b"}
    good, none = [0.5, 0.51] * 5, [0.5, -0.5] * 5
    negative = Claim(name="shuffled", control="negative", seeds=(0,), **facts)  # type: ignore[arg-type]
    moved = negative.model_copy(update={"name": "moved"})
    assert controls_text([decide(negative, good), decide(moved, none)]) == "shuffled failed"
    assert controls_text([decide(negative, none)]) == "1 of 1 sound"
    assert controls_text([decide(negative, [])]) == "not measured"


def test_the_page(controlled: Path, evidence_rows: list[ResultRow], tmp_path: Path) -> None:
    rerun(controlled, 0, lambda _out, seed: [row for row in evidence_rows if row.seed == seed])
    today = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=12)
    path = write_ledger_page(tmp_path / "page.html", controlled.parent, today)
    text = path.read_text()
    parser = Counter()
    parser.feed(text)
    assert parser.open == []
    assert (parser.counts["tr"], parser.counts["svg"]) == (1 + 4, 3)  # what is not measured has no picture
    assert text.count("12 days ago") == 2  # evidence and rerun
    assert "Last rerun of a stored seed, 0: 0 of 4 values differed; largest difference 0." in text
    assert "controls: 1 of 2 sound" in text
    assert "A control &lt;of&gt; the experiment" in text
    assert "http" not in text  # nothing is fetched
    assert text.count('<span class="data">real</span>') == text.count("mechanism at desk scale") == 4
    assert write_ledger_page(tmp_path / "again.html", controlled.parent, today).read_bytes() == path.read_bytes()


def test_age_in_words(controlled: Path) -> None:
    from swath.judge import read_evidence

    evidence = read_evidence(controlled)
    assert evidence is not None
    day = evidence.date
    assert age(None, (), day) == "Not measured yet."
    assert age(evidence, (), day) == f"Measured on {day}, today; never rerun."
    later = day + datetime.timedelta(days=2)
    dates = ((day + datetime.timedelta(days=1)).isoformat(), day.isoformat())
    assert age(evidence, dates, later).endswith("1 day ago (2 reruns).")
    assert "in 1 day;" in age(evidence, (), day - datetime.timedelta(days=1))


@pytest.mark.parametrize("centre", [-0.5, 0.0, 0.003, 40.0])
def test_the_picture_keeps_everything_in_sight(centre: float) -> None:
    facts = {"statement": "s", "estimand": "e", "metric": "m", "margin": 0.01, "contender": "a", "baseline": "b"}
    claim = Claim(name="c", seeds=tuple(range(10)), **facts)  # type: ignore[arg-type]
    picture = interval_picture(decide(claim, [centre + step for step in (-0.1, 0.0, 0.1) * 3]))
    places = [float(x) for x in re.findall(r'(?:x|x1|x2|cx)="([\d.-]+)"', picture)]
    assert len(places) == 6
    assert all(BORDER <= place <= WIDTH - BORDER for place in places)
    low, high, middle = places[3], places[4], places[5]
    assert low < middle < high
    assert (middle > WIDTH / 2) == (centre > 0)
    assert interval_picture(decide(claim, [])) == ""


def test_the_command(controlled: Path, tmp_path: Path) -> None:
    words = ["claims", "--folder", str(controlled.parent)]
    printed = CliRunner().invoke(app, words)
    assert printed.exit_code == 0, printed.output
    for text in ("beats-forest (primary)", "mechanism at desk scale", "1 of 2 sound", "should not hold:"):
        assert text in printed.output
    page = tmp_path / "ledger.html"
    assert CliRunner().invoke(app, [*words, "--html", str(page)]).exit_code == 0
    assert page.exists()
    wrong = CliRunner().invoke(app, [*words, "--html", str(tmp_path / "ledger.pdf")])
    assert isinstance(wrong.exception, ConfigError)
