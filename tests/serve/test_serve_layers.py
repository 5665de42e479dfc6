from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from swath.errors import ConfigError, InputError
from swath.serve import Layer, LegendEntry, read_layers, write_layers

ENTRY = {"value": 1, "name": "one", "colour": "#102030"}


def layer(**fields: Any) -> Layer:
    return Layer.model_validate({"id": "a", "title": "A", "path": "a.tif", "kind": "colour"} | fields)


def save(directory: Path, **fields: Any) -> None:
    first = {"id": "a", "title": "A", "path": "a.tif", "kind": "colour"} | fields
    (directory / "layers.json").write_text(json.dumps({"title": "T", "layers": [first]}))


def test_importing_the_room_loads_no_heavy_module() -> None:
    script = (
        "import sys, swath.serve; "
        "print([m for m in ('fastapi','uvicorn','rasterio','rio_tiler','torch','xarray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_round_trip(map_directory: Path, tmp_path: Path) -> None:
    first = read_layers(map_directory)
    assert [entry.id for entry in first.layers] == ["classes", "swapped", "score", "ocean"]
    for entry in first.layers:
        (tmp_path / entry.path).write_bytes(b"")
    write_layers(tmp_path, first.layers, first.title)
    assert read_layers(tmp_path) == first


def test_no_layers_is_a_map_too(tmp_path: Path) -> None:
    write_layers(tmp_path, [], "Nothing")
    assert read_layers(tmp_path).layers == ()


def test_a_list_without_its_layers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "layers.json").write_text("{}")
    with pytest.raises(InputError, match=r"In '.*layers\.json', layers is missing"):
        read_layers(tmp_path)


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.tif", "b/../../a.tif", "", "~/a.tif", "a\\b.tif", "http://x/a"])
def test_paths_that_could_leave_the_directory_are_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="stay inside"):
        layer(path=path)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["..", ".", "a", "b.tif", "", "~", "c d"]), min_size=1, max_size=6))
def test_an_accepted_path_stays_inside(parts: list[str]) -> None:
    path = "/".join(parts)
    try:
        accepted = layer(path=path).path
    except ValidationError:
        return
    root = Path("/somewhere/root")
    joined = root / accepted
    assert joined.is_relative_to(root)
    assert ".." not in joined.parts


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "categorical"}, "needs a legend"),
        ({"legend": [ENTRY]}, "has no legend"),
        ({"kind": "categorical", "legend": [ENTRY, ENTRY]}, "value 1 more than once"),
        ({"kind": "continuous"}, "needs minimum and maximum"),
        ({"kind": "continuous", "minimum": 1, "maximum": 1}, "minimum 1 must be below maximum 1"),
        ({"minimum": 1}, "together or not at all"),
        ({"kind": "continuous", "minimum": 0, "maximum": 1, "bands": ["a", "b"]}, r"1 band\(s\), but 2"),
        ({"bands": [1]}, r"3 band\(s\), but 1"),
        ({"opacity": 1.1}, "less than or equal to 1"),
        ({"id": "A b"}, "match pattern"),
        ({"colormap": "jet"}, "viridis"),
        ({"minimum": float("nan"), "maximum": 1}, "finite"),
    ],
)
def test_each_violation_gets_its_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        layer(**fields)


def test_bad_colour() -> None:
    with pytest.raises(ValidationError, match="pattern"):
        LegendEntry(value=1, name="one", colour="red")


def test_a_failed_write_leaves_the_old_list(tmp_path: Path) -> None:
    write_layers(tmp_path, [], "Old")
    with pytest.raises(InputError, match=r"'a\.tif', which is not in"):
        write_layers(tmp_path, [layer()], "New")
    with pytest.raises(ConfigError, match="'a' belongs to more than one layer"):
        write_layers(tmp_path, [layer(), layer()], "New")
    assert read_layers(tmp_path).title == "Old"
    assert [path.name for path in tmp_path.iterdir()] == ["layers.json"]


def test_a_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.tif"
    secret.write_bytes(b"")
    inside = tmp_path / "maps"
    inside.mkdir()
    (inside / "a.tif").symlink_to(secret)
    with pytest.raises(InputError, match="a link that leads out"):
        write_layers(inside, [layer()], "T")


def test_missing_directory_and_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no directory"):
        read_layers(tmp_path / "absent")
    with pytest.raises(InputError, match=r"holds no layers\.json"):
        read_layers(tmp_path)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"titel": "x"}, r"layer 1 \('a'\), field 'titel' is unknown; the nearest known field is title"),
        (
            {"kind": "categorical", "legend": [ENTRY | {"color": "#000000"}]},
            r"field 'legend\.0\.color' is unknown; the nearest known field is colour",
        ),
        ({"opacity": 7}, r"layer 1 \('a'\), field 'opacity'.*given: 7"),
        ({"path": "../x"}, "must be relative"),
        ({"kind": "categorical"}, r"layer 1 \('a'\): a categorical layer needs a legend"),
    ],
)
def test_a_wrong_list_is_named_with_file_layer_and_field(tmp_path: Path, fields: dict[str, Any], sentence: str) -> None:
    save(tmp_path, **fields)
    with pytest.raises(InputError, match=sentence) as caught:
        read_layers(tmp_path)
    assert str(tmp_path / "layers.json") in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"layers": {}}', '{"layers": [3]}', '{"schema_version": 9}'])
def test_files_that_are_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "layers.json").write_text(text)
    with pytest.raises(InputError, match=r"layers\.json"):
        read_layers(tmp_path)
