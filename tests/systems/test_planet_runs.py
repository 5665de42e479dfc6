"""The planet demonstration beside its scores: what it refuses, what it makes again, what its report says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from swath import systems
from swath.chips import ChipSet
from swath.errors import ClaimError, ConfigError, MissingError, ResourceError
from swath.sources import planet
from swath.systems.eo import _planet_chips, _runs, planet_land_cover, rstoolbox_polygons
from swath.types import ResultRow

CLAIMS = Path(__file__).parents[2] / "claims"
SLUG = planet_land_cover.SLUG


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "change")


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the registration, not committed yet, as working folder."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    folder = tmp_path / "clone"
    (folder / "claims").mkdir(parents=True)
    shutil.copy(CLAIMS / f"{SLUG}.toml", folder / "claims")
    git(folder, "init", "--quiet")
    monkeypatch.chdir(folder)
    return folder


class Measuring:
    """Stands in for data, training and scoring."""

    def __init__(self, fingerprint: str = "d" * 64) -> None:
        self.fingerprint = fingerprint
        self.seeds: list[int] = []

    def prepare(self, config: object, out: Path) -> SimpleNamespace:
        return SimpleNamespace(chipset=SimpleNamespace(fingerprint=self.fingerprint))

    def seed_rows(self, config: object, data: object, out: Path, seed: int) -> list[ResultRow]:
        out.mkdir(exist_ok=True)
        self.seeds.append(seed)
        pairs = [(who, metric) for who in ("unet", "random_forest") for metric in ("miou", "accuracy")]
        return [ResultRow("run", SLUG, backbone=who, metric=name, value=0.5, seed=seed) for who, name in pairs]


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    made = Measuring()
    monkeypatch.setattr(planet_land_cover, "prepare", made.prepare)
    monkeypatch.setattr(planet_land_cover, "_seed_rows", made.seed_rows)
    return made


def test_nothing_is_measured_before_it_is_registered(clone: Path, measuring: Measuring, tmp_path: Path) -> None:
    with pytest.raises(ClaimError, match="commit it first"):
        planet_land_cover.evidence(tmp_path / "out")
    assert measuring.seeds == [] and not (tmp_path / "out").exists()
    commit(clone)
    report = planet_land_cover.evidence(tmp_path / "out")
    assert measuring.seeds == list(range(10))
    assert {outcome.seeds for outcome in report.claims} == {10}


def test_evidence_is_not_finished_under_another_registration_or_data(
    clone: Path, measuring: Measuring, tmp_path: Path
) -> None:
    commit(clone)
    planet_land_cover.evidence(tmp_path / "out")
    commit(clone)
    planet_land_cover.evidence(tmp_path / "out")
    measuring.fingerprint = "e" * 64
    with pytest.raises(ClaimError, match="unknown data_hash"):
        planet_land_cover.evidence(tmp_path / "out")
    measuring.fingerprint = "d" * 64
    registration = clone / "claims" / f"{SLUG}.toml"
    registration.write_text(registration.read_text() + "# another\n")
    commit(clone)
    measuring.seeds.clear()
    with pytest.raises(ClaimError, match="unknown registration_sha256"):
        planet_land_cover.evidence(tmp_path / "out")
    assert measuring.seeds == []


def test_evidence_needs_a_ledger(tmp_path: Path, measuring: Measuring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swath.judge.conditions.PACKAGE", tmp_path / "site-packages" / "swath")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingError, match="the ledger lies in the repository"):
        planet_land_cover.evidence(tmp_path / "out")
    assert planet_land_cover.ledger() == ()
    (note,) = planet_land_cover._no_ledger()
    assert "the ledger lies in the repository" in note


def test_claims_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(planet_land_cover.ledger()) == 2
    assert planet_land_cover._no_ledger() == ()


@pytest.fixture
def cutting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fingerprints of the chips as they are cut; the next one to be cut is ``pixels``."""
    (tmp_path / "chips").mkdir()
    monkeypatch.setattr(_planet_chips.chips, "open", lambda folder: SimpleNamespace(fingerprint=made[-1]))
    made: list[str] = []
    return made


def cut_of(made: list[str], out: Path, planet_now: str, pixels: str) -> str:
    def cut() -> ChipSet:
        made.append(pixels)
        (out / "chips" / "chips.json").touch()
        return SimpleNamespace(fingerprint=pixels)  # type: ignore[return-value]

    return _planet_chips.chips_of(planet_now, out, cut).fingerprint


def test_chips_are_cut_again_for_another_planet_only(tmp_path: Path, cutting: list[str]) -> None:
    assert cut_of(cutting, tmp_path, "earth", "p1") == "p1"
    (tmp_path / "model").mkdir()
    assert cut_of(cutting, tmp_path, "earth", "never") == "p1"
    assert cut_of(cutting, tmp_path, "other", "p2") == "p2"
    assert not (tmp_path / "model").exists()  # it was trained on p1
    assert cut_of(cutting, tmp_path, "other", "never") == "p2"
    assert cutting == ["p1", "p2"]


@pytest.mark.parametrize("noted", [None, b"", b"\xff", b'{"planet": "earth"}'])
def test_chips_of_unknown_origin_are_cut_again(tmp_path: Path, cutting: list[str], noted: bytes | None) -> None:
    cut_of(cutting, tmp_path, "earth", "p1")
    (tmp_path / "model").mkdir()
    (tmp_path / "chips_of.json").unlink()
    if noted is not None:
        (tmp_path / "chips_of.json").write_bytes(noted)
    assert cut_of(cutting, tmp_path, "earth", "p1") == "p1"
    assert cutting == ["p1", "p1"]
    assert (tmp_path / "model").exists()  # the same pixels: the model stays


def test_the_hash_of_a_planet_is_that_of_its_pixels(tmp_path: Path) -> None:
    def write(**changes: str) -> str:
        layers = {name: {"sha256": changes.get(name, name)} for name in ("land", "koppen")}
        (tmp_path / "planet.json").write_text(json.dumps({"schema": 1, "swath": "0", "layers": layers}))
        return _planet_chips.planet_hash(tmp_path)

    assert write() == write()
    assert write() != write(land="x")


def test_a_quick_report_says_what_it_is_and_how_to_repeat_it(tmp_path: Path) -> None:
    if planet.missing():
        pytest.skip("layers of the planet are absent, run: swath data get planet")
    planet_land_cover.run(planet_land_cover.Config.quick(), tmp_path, seed=3)
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["command"] == "swath demo --quick --seed 3"
    assert "its scores mean nothing" in stored["notes"][0]
    captions = " ".join(picture["caption"] for picture in stored["pictures"])
    assert "1-degree cells (111 km" in captions and "ten kilometres" not in captions
    bands = {row["backbone"]: row["bands"] for row in stored["rows"]}
    assert bands["nearest_colour"] == "red,green,blue"
    assert bands["random_forest"] == "red,green,blue,absolute_latitude"
    assert (tmp_path / "chips_of.json").exists()


def test_the_command_fits_the_options() -> None:
    config = planet_land_cover.Config
    assert _runs.command(SLUG, config(), 2, verb="swath demo") == "swath demo --seed 2"
    assert _runs.command("rstoolbox_polygons", rstoolbox_polygons.Config.quick(), 0).endswith("--quick --seed 0")
    text = _runs.command(SLUG, config(trees=7, train=("Asia",)), 4)
    seen: list[tuple[object, ...]] = []
    text = text.replace(", run\n", "\n")  # everything but the run itself is real
    exec(text, {"run": lambda *given, seed: seen.append((*given, seed))})
    assert seen == [(config(trees=7, train=("Asia",)), Path("again"), 4)]
    assert _runs.quick_note(config()) == ()


@pytest.mark.parametrize("slug", systems.slugs())
def test_a_file_or_no_folder_for_the_results_is_told(slug: str, tmp_path: Path) -> None:
    module = systems.load(slug)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="file' is not a folder"):
        module.run(module.Config.quick(), tmp_path / "file")
    with pytest.raises(ResourceError, match="cannot be written"):
        module.run(module.Config.quick(), tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == "mine"
