"""What only a graphics card can show: the same learning in 32 bits, in bfloat16, resumed, shared and loaded again."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from learn_fakes import BANDS, CONFIG, MadeUpLoader, everything, make_batch, make_task, score
from odc.geo.geobox import GeoBox
from test_learn_parallel import Uneven

from swath.errors import ConfigError
from swath.learn import FitConfig, fit
from swath.learn.parallel import GLOO
from swath.learn.reproduce import backend_of, choose_device
from swath.loading import load

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no graphics card")

CARD = CONFIG.model_copy(update={"device": "cuda", "precision": "float32"})


def run(out: Path, config: FitConfig, loader: MadeUpLoader | None = None) -> list[float]:
    """Losses of the epochs."""
    found = fit(make_task(), loader or MadeUpLoader(), config=config, out=out, seed=0, validate=score, progress=False)
    assert not multiprocessing.active_children()
    return [line["loss"] for line in found.history]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return {key: value for key, value in everything(out).items() if key.startswith("last/model")}


def assert_same(one: Path, other: Path, tolerance: float) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=tolerance, atol=tolerance, msg=name)


def test_a_card_learns_what_a_processor_learns(tmp_path: Path) -> None:
    losses = run(tmp_path / "cpu", CONFIG.model_copy(update={"device": "cpu"}))
    assert run(tmp_path / "cuda", CARD) == pytest.approx(losses, rel=1e-3)
    assert_same(tmp_path / "cpu", tmp_path / "cuda", 1e-2)


def test_auto_takes_the_card_and_half_the_bits(tmp_path: Path) -> None:
    assert choose_device(FitConfig()) == (torch.device("cuda", 0), torch.cuda.is_bf16_supported())
    losses = run(tmp_path / "auto", CONFIG.model_copy(update={"epochs": 8}))
    assert losses[-1] < 0.8 * losses[0]
    assert losses[0] == pytest.approx(run(tmp_path / "cuda", CARD)[0], rel=0.05)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_that_was_stopped_goes_on_bit_by_bit(precision: str, tmp_path: Path) -> None:
    config = CARD.model_copy(update={"precision": precision})
    run(tmp_path / "whole", config)

    def stop(number: int) -> None:
        if number == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", config, MadeUpLoader(on_batch=stop))
    run(tmp_path / "parts", config)
    assert_same(tmp_path / "whole", tmp_path / "parts", 0.0)


def test_processes_that_share_a_card_are_one(tmp_path: Path) -> None:
    two = CARD.model_copy(update={"processes": torch.cuda.device_count() + 1})
    assert backend_of(two) == GLOO
    assert run(tmp_path / "two", two, Uneven()) == pytest.approx(run(tmp_path / "one", CARD, Uneven()), rel=1e-3)
    assert_same(tmp_path / "one", tmp_path / "two", 1e-2)


def test_a_model_predicts_on_the_card(tmp_path: Path) -> None:
    run(tmp_path, CARD)
    there, here, auto = (load(tmp_path, device=name) for name in ("cuda", "cpu", "auto"))
    assert {each.device.type for each in auto.parameters()} == {"cuda"}  # type: ignore[union-attr]
    batch = make_batch([100, 101])
    one, other = there.predict(batch), here.predict(batch)
    assert one.outputs["logits"].device.type == "cpu"
    torch.testing.assert_close(one.outputs["logits"], other.outputs["logits"], rtol=1e-3, atol=1e-3)
    assert torch.equal(one.valid, other.valid)
    with pytest.raises(ConfigError, match="published encoders"):
        load("presto", device="cuda")


def test_a_scene_is_mapped_on_the_card_as_on_a_processor(tmp_path: Path) -> None:
    import rasterio

    from swath import cubes
    from swath.predict import predict_scene

    run(tmp_path / "run", CARD)
    values = np.random.default_rng(0).random((1, 2, 150, 170)).astype(np.float32)
    box = GeoBox(values.shape[-2:], Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), "EPSG:32633")
    cube = cubes.make_cube(
        values,
        np.ones((1, 150, 170), bool),
        box,
        BANDS,
        time=np.array(["2024-06-01"], "datetime64[s]"),
        scale=[1.0, 1.0],
        offset=[0.0, 0.0],
        stored=False,
        attrs={},
    )
    for name in ("cuda", "cpu"):
        predict_scene(
            load(tmp_path / "run", device=name),  # type: ignore[arg-type]
            cube,
            tmp_path / f"{name}.tif",
            tile=64,
            overlap=16,
            outputs=("probability",),
            progress=False,
        )
    maps = []
    for name in ("cuda", "cpu"):
        with rasterio.open(tmp_path / f"{name}.tif") as raster:
            maps.append(raster.read())
    assert maps[0].shape == (3, 150, 170)
    np.testing.assert_allclose(maps[0].astype(float), maps[1].astype(float), atol=1.5)
