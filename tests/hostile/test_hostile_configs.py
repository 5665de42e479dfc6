"""Damaged and malicious YAML, JSON and TOML."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_seeds import CLAIM, LAYERS, SENSOR, Bench, evidence, survive

from swath import cubes, judge, sensors
from swath.cli import main
from swath.errors import ConfigError, InputError, SwathError
from swath.files import read_yaml
from swath.learn import read_options
from swath.reading import inside, parse_json
from swath.serve import read_layers

LAUGHS = "a: &a [1,2,3,4,5,6,7,8,9]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)
YAML = {
    "laughs": LAUGHS,
    "in itself": "&a [*a]",
    "deep": "[" * 20_000,
    "digits": "batch_size: " + "9" * 5000,
    "hexadecimal": "batch_size: 0x" + "f" * 5000,
    "sixties": "batch_size: 1" + ":1" * 5000,
    "list as key": "? [a]\n: 1",
    "no date": "batch_size: 2026-99-99",
    "no timestamp": "batch_size: !!timestamp x",
    "infinite": "fit: {clip_norm: .inf}",
    "no number": "fit: {learning_rate: .nan}",
    "long": "network: {width: 99999999999999999999999}",
    "list of options": "- 1",
    "list of fit": "fit: [1]",
    "zero byte": "a: \0",
}


def test_damaged_configs(bench: Callable[[str], Bench]) -> None:
    counts = survive(bench("config"), 150)
    assert min(counts.values()) > 5


@pytest.mark.parametrize("content", YAML.values(), ids=YAML)
def test_hostile_yaml(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_options(tmp_path / "a.yaml", epochs=3)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!python/object/new:pathlib.Path", "!!python/name:os.system"]
)
def test_yaml_never_makes_objects(tmp_path: Path, canary: Path, tag: str) -> None:
    (tmp_path / "a.yaml").write_text(f"a: {tag} ['touch {canary}']")
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        read_yaml(tmp_path / "a.yaml", "anything")


def test_yaml_of_a_megabyte_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("#" * (2**20 + 1))
    with pytest.raises(InputError, match="bytes of YAML"):
        read_yaml(tmp_path / "a.yaml", "anything")


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "NaN", "[-Infinity]", '"\ud800', "{", ""])
def test_hostile_json(text: str) -> None:
    with pytest.raises(InputError, match="cannot be read as JSON"):
        parse_json(text, "a.json", expected="something")
    with pytest.raises(InputError, match="is not a legend"):
        cubes.Legend.from_json(text)


@pytest.mark.parametrize("value", ["1e999", "9" * 4000, '"a"', "null", "[]"])
def test_legends_with_impossible_values(value: str) -> None:
    with pytest.raises(InputError, match="is not a legend"):
        cubes.Legend.from_json(f'[{{"value": {value}, "name": "a", "colour": "#000000"}}]')


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": 3},
        {"layers": {"a": 1}},
        {"layers": [1]},
        {"layers": [[]]},
        {"layers": [{"path": "../x"}]},
        {"title": 5},
    ],
)
def test_layers_that_are_none(tmp_path: Path, changes: dict[str, object]) -> None:
    (tmp_path / "layers.json").write_text(json.dumps(LAYERS | changes))
    with pytest.raises(InputError, match=r"layers\.json"):
        read_layers(tmp_path)


@pytest.mark.parametrize(
    "path", ["../x.tif", "/etc/passwd", "a\0b", "C:x", "a/../../b", "~root/x", "/vsicurl/http://x/a.tif"]
)
def test_layers_show_nothing_outside(tmp_path: Path, path: str) -> None:
    layer = LAYERS["layers"][0] | {"path": path}
    (tmp_path / "layers.json").write_text(json.dumps(LAYERS | {"layers": [layer]}))
    with pytest.raises(InputError):
        read_layers(tmp_path)
    assert not inside(path)


@pytest.mark.parametrize("old", ["seeds = [0, 1, 2]", "margin = 0.01"])
@pytest.mark.parametrize("new", ["nan", "inf", '"x"', "[" * 5000, "9" * 5000, "{a = 1}"])
def test_registrations(tmp_path: Path, old: str, new: str) -> None:
    evidence(tmp_path)
    (tmp_path / "planet.toml").write_text(CLAIM.replace(old, f"{old.split()[0]} = {new}"))
    with pytest.raises(SwathError):
        judge.claims_table(tmp_path)


@pytest.mark.parametrize("new", ["inf", "nan", '"x"', "-1", "[" * 5000, "9" * 5000])
def test_sensors(tmp_path: Path, new: str) -> None:
    path = tmp_path / "made_up.toml"
    path.write_text(SENSOR.replace("scale = 0.0001", f"scale = {new}"))
    with pytest.raises(InputError, match="made_up"):
        sensors.load(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="made_up"):
        sensors.load(str(path))


@pytest.mark.parametrize(
    "arguments", [("open", "{}"), ("claims", "--folder", "{}"), ("predict", "{}", "{}", "--out", "{}.tif")]
)
def test_the_command_prints_a_sentence_and_leaves(
    tmp_path: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (
        ("a.tif", b"II*\0" + b"\xff" * 50),
        ("b.nc", b"\x89HDF\r\n\x1a\n" + b"\xff" * 90),
        ("c.zarr", b""),
    ):
        (tmp_path / name).write_bytes(content)
        monkeypatch.setattr("sys.argv", ["swath", *(part.format(tmp_path / name) for part in arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code in (2, 3)
        said = capsys.readouterr().err
        assert said.startswith("error") and "What to do" in said and "Traceback" not in said
