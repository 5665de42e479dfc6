from __future__ import annotations

from pathlib import Path

import pytest
from judge_samples import REGISTRATION, Repository

from swath.errors import ClaimError, ConfigError, InputError
from swath.judge import load_registration, registration_commit
from swath.judge.registration import require_committed


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "demo.toml"
    path.write_text(text)
    return path


def test_claims_are_read_in_order(tmp_path: Path) -> None:
    first, second = load_registration(write(tmp_path, REGISTRATION))
    assert (first.name, first.primary, first.margin, first.seeds) == ("beats-forest", True, 0.01, tuple(range(10)))
    assert (second.name, second.primary, second.metric) == ("cheaper", False, "iou:ice")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("primary = true", "primry = true", "'primry' at claim 1 .* nearest is: primary"),
        ("title =", "titel =", "'titel' at the top level .* nearest is: title"),
        ("primary = true", "primary = false", "0 primary claims"),
        ('name = "cheaper"', 'name = "cheaper"\nprimary = true', "2 primary claims: beats-forest, cheaper"),
        ('name = "cheaper"', 'name = "beats-forest"', "registers beats-forest more than once"),
        ('system = "demo"', 'system = "other"', "system = 'other'"),
        ("margin = 0.01", "margin = 0", "'margin' of claim 1 .* is 0. Expected: input should be greater than 0"),
        ("margin = 0.01", "", "'margin' of claim 1 .* is nothing"),
        ("seeds = [0, 1,", "seeds = [0, 0,", "at least one seed, each once"),
        ("seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "seeds = []", "at least one seed"),
        ("[[claim]]", "[claim]", r"cannot be read|two brackets"),
        ("margin = 0.01", "margin = ", "cannot be read"),
    ],
)
def test_mistakes_get_a_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = write(tmp_path, REGISTRATION.replace(old, new, 1))
    with pytest.raises((ConfigError, InputError), match=sentence):
        load_registration(path)


def test_missing_file_and_no_claims(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_registration(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="two brackets"):
        load_registration(write(tmp_path, 'system = "demo"\ntitle = "x"\n[claim]\nname = "a"\n'))
    with pytest.raises(ConfigError, match="0 primary"):
        load_registration(write(tmp_path, 'system = "demo"\ntitle = "x"\n'))


def test_commit_of_the_registration(registration: Path, repository: Repository) -> None:
    assert registration_commit(registration) is None
    with pytest.raises(ClaimError, match="not committed as it stands"):
        require_committed(registration)
    commit = repository.commit()
    (repository.path / "other").write_text("x")
    repository.commit()
    assert registration_commit(registration) == require_committed(registration) == commit
    registration.write_text(REGISTRATION + "# edited\n")
    assert registration_commit(registration) is None
    with pytest.raises(ClaimError, match="commit it first"):
        require_committed(registration)
    assert repository.commit() == registration_commit(registration)


def test_a_hook_of_another_repository_does_not_interfere(
    registration: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit()
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert registration_commit(registration) == commit


def test_no_commit_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    path = write(tmp_path, REGISTRATION)
    assert registration_commit(path) is None
    with pytest.raises(ClaimError, match="not in a git repository"):
        require_committed(path)


def test_without_git_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClaimError, match="git is not installed"):
        require_committed(write(tmp_path, REGISTRATION))
