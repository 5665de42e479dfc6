from __future__ import annotations

import json
from pathlib import Path

import pytest
from judge_samples import REGISTRATION

from swath.errors import ClaimError, MissingError
from swath.judge import claims_table, conditions, ledger_folder, require_ledger, same_conditions


@pytest.fixture
def registered(tmp_path: Path) -> Path:
    path = tmp_path / "claims" / "demo.toml"
    path.parent.mkdir()
    path.write_text(REGISTRATION)
    return path


def test_the_ledger_of_the_working_folder_comes_first(
    registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ledger_folder() == require_ledger() == Path("claims")
    assert {row["system"] for row in claims_table()} == {"demo"}


def test_elsewhere_it_is_that_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "clone" / "src" / "swath"
    monkeypatch.setattr(conditions, "PACKAGE", package)
    assert ledger_folder() is None
    (tmp_path / "clone" / "claims").mkdir(parents=True)
    assert ledger_folder() == tmp_path / "clone" / "claims"
    assert claims_table() == []


def test_an_installed_package_has_no_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "PACKAGE", tmp_path / "lib" / "site-packages" / "swath")
    (tmp_path / "claims").mkdir()  # of somebody else's project
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert ledger_folder() is None
    for ask in (require_ledger, claims_table):
        with pytest.raises(MissingError, match="the ledger lies in the repository"):
            ask()


def measure(out: Path) -> None:
    (out / "seed_0").mkdir()


def test_the_same_conditions_may_go_on(registered: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    path = same_conditions(registered, out, data_hash="d1")
    assert set(json.loads(path.read_text())) == {"registration_sha256", "data_hash", "code_sha256"}
    measure(out)
    assert same_conditions(registered, out, data_hash="d1") == path


def test_nothing_measured_yet_may_change(registered: Path, tmp_path: Path) -> None:
    same_conditions(registered, tmp_path / "out", data_hash="d1")
    same_conditions(registered, tmp_path / "out", data_hash="d2")
    measure(tmp_path / "out")
    with pytest.raises(ClaimError):
        same_conditions(registered, tmp_path / "out", data_hash="d1")


@pytest.mark.parametrize("changed", ["data_hash", "registration_sha256", "code_sha256"])
def test_rows_of_other_conditions_are_refused(
    changed: str, registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    noted = same_conditions(registered, out, data_hash="d1").read_text()
    measure(out)
    if changed == "registration_sha256":
        registered.write_text(REGISTRATION + "# edited\n")
    if changed == "code_sha256":
        monkeypatch.setattr(conditions, "code_hash", lambda: "other")
    with pytest.raises(ClaimError, match=rf"seed_0, measured under another or an unknown {changed}\."):
        same_conditions(registered, out, data_hash="d2" if changed == "data_hash" else "d1")
    assert (out / "conditions.json").read_text() == noted


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_rows_that_nobody_knows_about_are_refused(content: str | None, registered: Path, tmp_path: Path) -> None:
    measure_in = tmp_path / "seed_0"
    measure_in.mkdir()
    if content is not None:
        (tmp_path / "conditions.json").write_text(content)
    with pytest.raises(ClaimError, match="code_sha256, data_hash, registration_sha256"):
        same_conditions(registered, tmp_path, data_hash="d1")


def test_the_hash_of_the_code_knows_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert conditions.code_hash() == conditions.code_hash()
    package = tmp_path / "swath"
    (package / "room").mkdir(parents=True)
    (package / "room" / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(conditions, "PACKAGE", package)
    seen = [conditions.code_hash()]
    (package / "room" / "a.py").write_text("x = 2\n")
    seen.append(conditions.code_hash())
    (package / "room" / "a.py").rename(package / "a.py")
    seen.append(conditions.code_hash())
    assert len(set(seen)) == 3
