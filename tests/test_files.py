"""Files and folders are whole, or as they were before."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from swath.errors import ConfigError, InputError, ResourceError
from swath.files import (
    make_folder,
    read_yaml,
    replacing,
    replacing_folder,
    sha256,
    write_json,
    write_text,
    write_whole,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_arrives_with_the_folders_above_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "text.txt"
    assert write_text(path, "Köppen °C\n") == path
    assert path.read_bytes() == "Köppen °C\n".encode()
    assert write_text(path, "") == path and path.read_bytes() == b""
    assert names(path.parent) == ["text.txt"]


def test_a_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "whole", "x")
    with replacing_folder(tmp_path / "folder"):
        pass
    (tmp_path / "plain_folder").mkdir()
    for mine, plain in (("whole", "plain"), ("folder", "plain_folder")):
        assert (tmp_path / mine).stat().st_mode == (tmp_path / plain).stat().st_mode


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("write_first", [True, False])
def test_a_failed_block_changes_nothing(tmp_path: Path, before: str | None, write_first: bool) -> None:
    path = tmp_path / "file.json"
    if before is not None:
        path.write_text(before)
    with pytest.raises(RuntimeError, match="broken"), replacing(path) as temporary:
        if write_first:
            temporary.write_text("half")
        raise RuntimeError("broken")
    assert names(tmp_path) == ([] if before is None else ["file.json"])
    assert before is None or path.read_text() == before


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(FileNotFoundError):
        write_whole(path, lambda part: None)
    assert path.read_text() == "old" and names(tmp_path) == ["file"]


def test_two_writers_at_once_never_mix(tmp_path: Path) -> None:
    path, both = tmp_path / "file", threading.Barrier(2)

    def write(letter: str) -> None:
        with replacing(path) as temporary, temporary.open("w") as file:
            for _ in range(20):
                both.wait(10)
                file.write(letter * 1000)
                file.flush()

    writers = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in ("a" * 20_000, "b" * 20_000)
    assert names(tmp_path) == ["file"]


def test_what_a_killed_writer_left_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as temporary:
        left = temporary.name
        temporary.write_text("whole")
    # A killed process cannot clean up: its file stays, perhaps as a folder that nobody can replace.
    (tmp_path / left).mkdir()
    write_text(path, "again")
    assert path.read_text() == "again"
    assert left.startswith(".") and left.endswith(".part")  # neither listed nor taken for a result


def test_json_is_standard(tmp_path: Path) -> None:
    content = {
        "nan": math.nan,
        "list": [math.inf, 1.5, (-math.inf, None)],
        "path": tmp_path / "x",
        3: {"deep": math.nan, "ä": True},
        "empty": {},
    }
    text = write_json(tmp_path / "file.json", content).read_text(encoding="utf-8")
    assert "NaN" not in text and "Infinity" not in text and "ä" in text and text.endswith("}\n")
    assert json.loads(text) == {
        "nan": None,
        "list": [None, 1.5, [None, None]],
        "path": str(tmp_path / "x"),
        "3": {"deep": None, "ä": True},
        "empty": {},
    }


def test_json_that_cannot_be_written_keeps_the_old_file(tmp_path: Path) -> None:
    path = write_json(tmp_path / "file.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1} and names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("content", [b"", b"a", bytes(300_000)])
def test_sha256_is_that_of_the_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("before", ["absent", "empty", "filled"])
def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path, before: str) -> None:
    path = tmp_path / "above" / "folder"
    if before != "absent":
        path.mkdir(parents=True)
    if before == "filled":
        (path / "old").write_text("old")
    with replacing_folder(path) as new:
        assert names(new) == []
        (new / "file").write_text("new")
        assert (path / "old").exists() == (before == "filled")
    assert names(path) == ["file"] and names(path.parent) == ["folder"]


@pytest.mark.parametrize("before", [True, False])
def test_a_failed_folder_changes_nothing(tmp_path: Path, before: bool) -> None:
    path = tmp_path / "folder"
    if before:
        path.mkdir()
        (path / "old").write_text("old")
    with pytest.raises(KeyError), replacing_folder(path) as new:
        (new / "file").write_text("new")
        raise KeyError
    assert names(tmp_path) == (["folder"] if before else [])
    assert not before or names(path) == ["old"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, replace = tmp_path / "folder", os.replace
    path.mkdir()
    (path / "old").write_text("old")

    def refuse(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError(errno.EIO, "the disk is gone", str(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="the disk is gone"), replacing_folder(path) as new:
        (new / "file").write_text("new")
    assert names(path) == ["old"] and names(tmp_path) == ["folder"]


@pytest.mark.parametrize("context", [replacing, replacing_folder])
def test_an_unwritable_place_is_told_in_a_sentence(tmp_path: Path, context: type) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"file/below/name' cannot be written \(Not a directory\)"):  # noqa: SIM117
        with context(tmp_path / "file" / "below" / "name"):
            raise AssertionError("not reached")
    with pytest.raises(ResourceError, match=r"cannot be written \(No space left"):  # noqa: SIM117
        with context(tmp_path / "name"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("context", [replacing, replacing_folder])
def test_errors_about_other_files_keep_their_words(tmp_path: Path, context: type) -> None:
    with pytest.raises(PermissionError, match=r"scene\.tif"), context(tmp_path / "name"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "scene.tif"))
    assert names(tmp_path) == []


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert make_folder(str(path)) == path and path.is_dir()
    (path / "kept").touch()
    assert make_folder(path) == path and names(path) == ["kept"]


@pytest.mark.parametrize("use", [make_folder, lambda path: replacing_folder(path).__enter__()])
def test_a_folder_never_takes_the_place_of_a_file(tmp_path: Path, use: Callable[[Path], object]) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for taken in (path, tmp_path / "link"):
        with pytest.raises(ConfigError, match=f"{taken.name}' is not a folder"):
            use(taken)
    with pytest.raises(ResourceError, match="cannot be written"):
        use(path / "below")
    assert path.read_text() == "mine" and names(tmp_path) == ["file", "link"]


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EACCES])
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise OSError(code, os.strerror(code), str(tmp_path / "x"))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(ResourceError, match="x' cannot be written"), replacing_folder(tmp_path / "x"):
        pass
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(ResourceError, match="x' cannot be written"):
        make_folder(tmp_path / "x")


def test_a_folder_that_may_not_be_written_to_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(ResourceError, match="Permission denied"):
        make_folder(tmp_path)


def test_a_file_never_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="Is a directory"):
        write_text(tmp_path, "x")
    assert names(tmp_path) == []


def test_yaml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for text, content in (
        ("", None),
        ("1: a\n'1': b\n", {1: "a", "1": "b"}),
        ("a: &x {b: 1}\nc: {<<: *x, b: 2}\n", {"a": {"b": 1}, "c": {"b": 2}}),
        (
            "a: &x {b: 1}\nc: &y {<<: *x, b: 2}\nd: {<<: *y, e: 3}\n",
            {"a": {"b": 1}, "c": {"b": 2}, "d": {"b": 2, "e": 3}},
        ),
        ("- {a: 1}\n- {a: 2}\n", [{"a": 1}, {"a": 2}]),
        ("a: Köppen", {"a": "Köppen"}),
    ):
        path.write_text(text, encoding="utf-8")
        assert read_yaml(path, "something") == content


@pytest.mark.parametrize(
    "content",
    [
        b"a: 1\n\tb: 2\n",
        b"\xff\xfe\x00",
        b"a: [",
        b"a: 1\na: 2\n",
        b"x:\n  a: 1\n  'a': 2\n",
        b"~: 1\nnull: 2\n",
        b"[1]: 2\n",
        b"day: 2020-13-45\n",
        b"a: !!python/object/apply:os.getcwd []\n",
        b"[" * 5000,
    ],
)
def test_yaml_that_cannot_be_used(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.yaml is not YAML.*Expected: options"):
        read_yaml(path, "options")


def test_yaml_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*b\.yaml"):
        read_yaml(tmp_path / "b.yaml", "options")
    with pytest.raises(InputError, match="is a folder"):
        read_yaml(tmp_path, "options")
