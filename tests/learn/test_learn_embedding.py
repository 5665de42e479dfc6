"""Features of a trained network as embeddings of pixels and cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from learn_fakes import BANDS, DropoutNet, make_batch, make_task
from odc.geo.geobox import GeoBox

from swath.cubes import make_cube
from swath.errors import ConfigError
from swath.learn import Embedder
from swath.predict import TestTimeAugmentation, predict_scene
from swath.types import Predictor


def test_embeddings_are_what_the_head_sees() -> None:
    task, batch = make_task(), make_batch([1, 2, 3])
    embedder = Embedder(task)
    assert isinstance(embedder, Predictor)
    answer = embedder.predict(batch)
    answer.check(batch)
    cells = answer.outputs["embedding"]
    stride = task.network.spec.stem_stride
    assert embedder.output_stride == stride == 2 and embedder.classes == ("e0", "e1", "e2", "e3")
    assert cells.shape == (3, 4, 4, 4) and answer.valid.shape == (3, 4, 4)
    assert not cells.requires_grad
    with torch.inference_mode():
        logits = task.network.decoder.head(cells)
    torch.testing.assert_close(logits, task.predict(batch).outputs["logits"])


@pytest.mark.parametrize(("level", "stride", "width"), [("decoder", 2, 4), (0, 2, 4), (1, 4, 8)])
@pytest.mark.parametrize("size", [1, 3, 7, 8])
def test_shapes_and_strides_at_any_size(level: Any, stride: int, width: int, size: int) -> None:
    task, batch = make_task(), make_batch([1, 2], size)
    embedder = Embedder(task, level)
    answer = embedder.predict(batch)
    cells = -(-size // stride)
    assert embedder.output_stride == stride and len(embedder.classes) == width
    assert answer.outputs["embedding"].shape == (2, width, cells, cells)
    assert answer.valid.shape == (2, cells, cells)
    pixels = Embedder(task, level, full_resolution=True)
    answer = pixels.predict(batch)
    assert pixels.output_stride == 1
    assert answer.outputs["embedding"].shape == (2, width, size, size) and answer.valid.shape == (2, size, size)
    answer.check(batch)


def test_an_empty_batch_has_no_embeddings() -> None:
    answer = Embedder(make_task()).predict(make_batch([]))
    assert answer.outputs["embedding"].shape[0] == len(answer.valid) == 0


def test_a_cell_is_valid_where_one_of_its_pixels_is() -> None:
    batch = make_batch([1])
    modality = batch.inputs["image"]
    modality.valid[:] = False
    modality.valid[..., 5, 2] = True
    valid = Embedder(make_task()).predict(batch).valid
    assert torch.nonzero(valid).tolist() == [[0, 2, 1]]


def test_values_under_the_mask_change_nothing() -> None:
    batch, embedder = make_batch([1]), Embedder(make_task(), 1)
    modality = batch.inputs["image"]
    before = embedder.predict(batch).outputs["embedding"]
    modality.values[~modality.valid.expand_as(modality.values)] = 1e6
    torch.testing.assert_close(embedder.predict(batch).outputs["embedding"], before)


def test_encoder_levels_are_those_of_the_encoder() -> None:
    task, batch = make_task(), make_batch([4])
    modality = batch.inputs["image"]
    task.eval()
    with torch.inference_mode():
        image = task.normalise(modality.values, modality.valid.expand_as(modality.values))[:, 0]
        maps = task.network.encoder(image).maps
    for level, expected in enumerate(maps):
        torch.testing.assert_close(Embedder(task, level).predict(batch).outputs["embedding"], expected)


def test_training_goes_on_as_before() -> None:
    task = make_task()
    task.train()
    Embedder(task).predict(make_batch([1]))
    assert task.training and task.network.training


def scene(size: int) -> Any:
    values = np.random.default_rng(0).random((1, 2, size, size)).astype(np.float32)
    valid = np.ones((1, size, size), dtype=bool)
    valid[:, :4, :4] = False
    box = GeoBox((size, size), Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), "EPSG:32633")
    return make_cube(
        values,
        valid,
        box,
        BANDS,
        time=np.array(["2020-01-01"], dtype="datetime64[ns]"),
        scale=[1.0, 1.0],
        offset=[0.0, 0.0],
        stored=False,
        attrs={"source": "made for a test"},
    )


@pytest.mark.parametrize("full_resolution", [False, True])
def test_a_scene_of_embeddings(tmp_path: Path, full_resolution: bool) -> None:
    embedder = Embedder(make_task(), full_resolution=full_resolution)
    predict_scene(embedder, scene(24), tmp_path / "e.tif", tile=16, overlap=8, progress=False)
    with rasterio.open(tmp_path / "e.tif") as dataset:
        cells = dataset.read()
        assert dataset.res == ((10.0, 10.0) if full_resolution else (20.0, 20.0))
        assert dataset.descriptions == ("e0", "e1", "e2", "e3")
    masked = 4 // embedder.output_stride
    assert np.isnan(cells[:, :masked, :masked]).all()
    assert np.isfinite(cells[:, masked:]).all() and np.isfinite(cells[:, :, masked:]).all()


def test_a_scene_of_augmented_embeddings(tmp_path: Path) -> None:
    embedder = TestTimeAugmentation(Embedder(make_task()), "flips")
    outputs = ("embedding", "spread")
    files = predict_scene(
        embedder, scene(16), tmp_path / "e.tif", tile=16, overlap=0, outputs=outputs, progress=False
    ).files
    with rasterio.open(files["spread"]) as dataset:
        spread = dataset.read(1)
    assert spread.shape == (8, 8) and np.nanmin(spread) >= 0 and np.nanmax(spread) > 0


def test_sentences() -> None:
    task = make_task()
    for level in (2, -1, True, "encoder"):
        with pytest.raises(ConfigError, match=f"The level is {level!r}.*from 0 to 1"):
            Embedder(task, level)  # type: ignore[arg-type]
    other = make_task(dropout=True)
    assert isinstance(other.network, DropoutNet)
    with pytest.raises(ConfigError, match="The network is a DropoutNet"):
        Embedder(other)
