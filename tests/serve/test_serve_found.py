"""Maps without ``layers.json``: a folder as a prediction leaves it, and one file."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fastapi.testclient import TestClient
from odc.geo.geobox import GeoBox
from PIL import Image
from rasterio.transform import Affine

from swath import cubes
from swath.errors import InputError
from swath.serve import create_app, layers_of, write_layers
from swath.serve.run import VENDOR

BOX = GeoBox((40, 60), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
PLACE = {"lon": 15.003, "lat": 45.1525}
LEGEND = cubes.Legend((cubes.LegendEntry(1, "forest", "#117733"), cubes.LegendEntry(2, "barren", "#DDCC77")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A map, its confidence and its probabilities, a scene of four bands, heights, and files that are no maps."""
    root = tmp_path / "My maps"
    classes = np.ones((1, *BOX.shape.yx), np.uint8)
    classes[:, :, 30:] = 2
    cubes.write_cog(root / "map.tif", classes, BOX, names=["class"], nodata=255, legend=LEGEND)
    share = np.full((2, *BOX.shape.yx), 160, np.uint8)
    options = {"nodata": 255, "unit": "1", "scale": 0.005}
    for name, count in (("confidence", 1), ("probability", 2)):
        cubes.write_cog(
            root / f"map_{name}.tif",
            share[:count],
            BOX,
            names=["forest", "barren"][:count] if count == 2 else [name],
            tags={"output": name},
            **options,
        )
    ramp = np.linspace(1000, 3000, 60, dtype=np.float32) * np.ones((4, 40, 1), np.float32)
    scene = (ramp * np.array([1, 1, 1, 5])[:, None, None]).astype(np.uint16)
    cubes.write_cog(root / "Scène.tif", scene, BOX, names=["B02", "B03", "B04", "B08"], nodata=0)
    cubes.write_cog(root / "heights.TIF", ramp[:1], BOX, names=["height"], unit="m")
    height, width = BOX.shape.yx
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8"}
    with rasterio.open(root / "nowhere.tif", "w", transform=BOX.affine, **profile) as target:
        target.write(classes)
    (root / "broken.tif").write_bytes(b"II*\0")
    (root / ".hidden.part.tif").write_bytes((root / "map.tif").read_bytes())
    (root / "outside.tif").symlink_to(cubes.write_cog(tmp_path / "away.tif", classes, BOX, names=["class"]))
    return root


def test_every_map_of_a_folder_is_a_layer(folder: Path) -> None:
    layers = {layer.id: layer for layer in layers_of(folder)}
    assert list(layers) == [
        "map",
        "heights",
        "map_confidence",
        "map_probability-forest",
        "map_probability-barren",
        "sc-ne",
    ]
    assert [name for name, layer in layers.items() if layer.visible] == ["map", "sc-ne"]
    classes, heights, share, scene = (layers[name] for name in ("map", "heights", "map_probability-barren", "sc-ne"))
    assert (classes.kind, classes.title, classes.path) == ("categorical", "map", "map.tif")
    assert [(item.value, item.name, item.colour) for item in classes.legend] == [
        (1, "forest", "#117733"),
        (2, "barren", "#DDCC77"),
    ]
    assert (share.kind, share.minimum, share.maximum, share.bands, share.unit) == ("continuous", 0, 1, (2,), "")
    assert (heights.minimum, heights.maximum) == (pytest.approx(1040, abs=20), pytest.approx(2960, abs=20))
    assert heights.unit == "m"
    assert {layer.data for layer in layers.values()} == {"unknown"}  # a file does not tell
    assert (scene.kind, scene.title, scene.bands) == ("colour", "Scène", (3, 2, 1))
    assert (scene.minimum, scene.maximum) == (pytest.approx(1040, abs=20), pytest.approx(2960, abs=20))


def test_uncertainties_belong_to_their_map(folder: Path) -> None:
    numbers = np.linspace(0, 3, 60, dtype=np.float32) * np.ones((1, 40, 1), np.float32)
    for name in ("std", "spread", "disagreement", "dissimilarity", "applicability", "set_size", "entropy"):
        cubes.write_cog(folder / f"map_{name}.tif", numbers, BOX, names=[name], tags={"output": name})
    cubes.write_cog(folder / "other_std.tif", numbers, BOX, names=["std"], tags={"output": "std"})
    layers = {layer.id: layer for layer in layers_of(folder)}
    told = {layer.measure: layer for layer in layers.values() if layer.of == "map"}
    assert len(told) == 8
    assert {layers[name].of for name in ("map", "heights", "other_std", "map_probability-forest")} == {""}
    assert (told["confidence"].title, told["confidence"].colormap) == ("map: confidence", "viridis")
    ranges = {name: (layer.minimum, layer.maximum) for name, layer in told.items()}
    assert ranges["confidence"] == ranges["entropy"] == ranges["applicability"] == (0, 1)
    assert ranges["std"] == (0, pytest.approx(2.95, abs=0.05))
    assert ranges["set_size"][0] == 1
    with TestClient(create_app(folder), base_url="http://127.0.0.1") as client:
        described = {layer["id"]: layer for layer in client.get("/api/layers").json()["layers"]}
        assert described["map"]["fades_by"] == "map_confidence"
        assert described["heights"]["faded_tiles"] is None
        address = described["map"]["faded_tiles"].format(z=12, x=2218, y=1470)
        image = np.asarray(Image.open(io.BytesIO(client.get(address).content)))
        assert image[..., 3].max() == round(255 * (0.12 + 0.88 * 0.8))


def test_a_folder_of_maps_is_served(folder: Path) -> None:
    with TestClient(create_app(folder), base_url="http://127.0.0.1") as client:
        described = client.get("/api/layers").json()
        assert described["title"] == "My maps"
        assert len(described["layers"]) == client.app.state.layers == 6
        values = {item["id"]: item for item in client.get("/api/value", params=PLACE).json()["layers"]}
        assert values["map"]["name"] == "forest"
        assert values["map_confidence"]["value"] == pytest.approx(0.8)
        assert values["sc-ne"]["value"]["B04"] == pytest.approx(1780, abs=100)
        for layer in described["layers"]:
            tile = layer["tiles"].format(z=12, x=2218, y=1470)
            picture = np.asarray(Image.open(io.BytesIO(client.get(tile).content)))
            assert picture[..., 3].any(), layer["id"]


def test_the_list_of_a_folder_counts_where_there_is_one(folder: Path) -> None:
    chosen = layers_of(folder)[1]
    write_layers(folder, [chosen], "Chosen")
    assert layers_of(folder) == (chosen,)
    with TestClient(create_app(folder), base_url="http://127.0.0.1") as client:
        assert [layer["id"] for layer in client.get("/api/layers").json()["layers"]] == ["heights"]


def test_one_file_is_served_alone_whatever_lies_beside_it(folder: Path) -> None:
    write_layers(folder, [layers_of(folder)[1]], "Chosen")
    with TestClient(create_app(folder / "map.tif"), base_url="http://127.0.0.1") as client:
        described = client.get("/api/layers").json()
    assert (described["title"], [layer["id"] for layer in described["layers"]]) == ("map", ["map"])
    with TestClient(create_app(folder / "outside.tif"), base_url="http://127.0.0.1") as client:
        assert client.get("/api/layers").json()["layers"][0]["kind"] == "continuous"


@pytest.mark.parametrize("name", ["broken.tif", "nowhere.tif"])
def test_a_file_that_is_no_map_gets_a_sentence(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"{name}' cannot be shown on a map"):
        create_app(folder / name)


def test_a_folder_without_maps_gets_a_sentence(tmp_path: Path) -> None:
    assert layers_of(tmp_path) == ()
    with pytest.raises(InputError, match=r"holds no layers\.json and no map"):
        create_app(tmp_path)
    with pytest.raises(InputError, match="There is no directory"):
        layers_of(tmp_path / "absent")


def test_names_that_make_one_id_are_numbered(tmp_path: Path) -> None:
    for name in ("a b.tif", "a+b.tif", "+.tif", "x" * 80 + ".tif"):
        cubes.write_cog(tmp_path / name, np.ones((1, *BOX.shape.yx), np.uint8), BOX, names=["n"])
    layers = layers_of(tmp_path)
    assert [layer.id for layer in layers] == ["layer", "a-b", "a-b-2", "x" * 56]
    with TestClient(create_app(tmp_path), base_url="http://127.0.0.1") as client:
        assert client.get("/api/layers").status_code == 200


def test_a_true_colour_picture_keeps_its_colours(tmp_path: Path) -> None:
    colours = np.array([20, 60, 120], np.uint8)[:, None, None] * np.ones((1, *BOX.shape.yx), np.uint8)
    cubes.write_cog(tmp_path / "picture.tif", colours, BOX, names=["red", "green", "blue"])
    (layer,) = layers_of(tmp_path)
    assert (layer.kind, layer.minimum, layer.maximum) == ("colour", None, None)


@pytest.mark.skipif(
    not (VENDOR / "maplibre-gl.mjs").is_file(), reason="MapLibre GL is not fetched (python tools/fetch_maplibre.py)"
)
@pytest.mark.parametrize(("name", "count"), [(".", "6 layers"), ("map.tif", "1 layer")])
def test_the_server_says_how_many_layers_it_found(folder: Path, name: str, count: str) -> None:
    script = "import sys; from swath.serve import run; run(sys.argv[1], port=0)"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder / name)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            first, second = server.stdout.readline(), server.stdout.readline()
            assert first.startswith(f"Found {count} in '")
            address = next(word for word in second.split() if word.startswith("http://"))
            with urllib.request.urlopen(f"{address}/api/layers", timeout=20) as answer:
                assert len(json.load(answer)["layers"]) == int(count[0])
        finally:
            server.terminate()
