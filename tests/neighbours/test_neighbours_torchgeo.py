"""Data sets that answer like TorchGeo's become batches that keep the contract."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import torch
from neighbour_chips import PEERS, python_of

from swath.errors import ConfigError, InputError
from swath.judge import MajorityClass, score
from swath.neighbours import from_torchgeo
from swath.neighbours.torchgeo import Meaning


class Fake:
    """Five samples of two bands with a mask, as TorchGeo gives them."""

    classes = ("water", "land")
    bands = ("B04", "B08")

    def __init__(self, count: int = 5, **parts: Any) -> None:
        self.count, self.parts = count, parts

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = torch.full((2, 4, 6), float(index + 1) * 100)
        mask = torch.zeros(4, 6, dtype=torch.long)
        mask[:, 3:] = 1
        sample: dict[str, Any] = {"image": image, "mask": mask, **self.parts}
        return {name: part for name, part in sample.items() if part is not None}


def test_batches_keep_the_contract_and_the_order() -> None:
    loader = from_torchgeo(Fake(), sensor="sentinel2_l2a", meaning=Meaning(scale=1e-3, time="2024-05-06"), batch_size=2)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    for batch in batches:
        batch.check({"label": "segmentation"})
    image = batches[0].inputs["image"]
    assert tuple(image.values.shape) == (2, 1, 2, 4, 6)
    assert image.values[1, 0, 0, 0, 0].item() == pytest.approx(0.2)
    assert image.bands.names == ("B04", "B08") and image.bands[0].kind == "reflectance"
    assert image.time.tolist() == [[1_714_953_600]] * 2
    assert [name for batch in batches for name in batch.ids] == ["0", "1", "2", "3", "4"]
    assert batches[2].inputs["image"].values.shape[0] == 1


def test_a_seed_gives_another_order_each_epoch_and_the_same_again() -> None:
    loader = from_torchgeo(Fake(9), batch_size=4, seed=3)
    orders = [[name for batch in loader.epoch(epoch) for name in batch.ids] for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert all(sorted(order) == sorted(map(str, range(9))) for order in orders)
    assert [batch.ids for batch in loader.epoch(1, start=1)] == [batch.ids for batch in loader.epoch(1)][1:]


def test_what_is_missing_travels_as_a_mask() -> None:
    image = torch.full((2, 4, 6), 5.0)
    image[0, 0, 0], image[:, 1, 1], image[1, 2, 2] = torch.nan, -1, torch.inf
    mask = torch.zeros(1, 4, 6, dtype=torch.uint8)
    mask[0, 3, 3] = 255
    loader = from_torchgeo(Fake(1, image=image, mask=mask), meaning=Meaning(nodata=-1, ignore=255))
    (batch,) = loader
    batch.check({"label": "segmentation"})
    valid, label = batch.inputs["image"].valid[0, 0], batch.targets["label"][0]
    assert (~valid).nonzero().tolist() == [[0, 0, 0], [0, 1, 1], [1, 1, 1], [1, 2, 2]]
    assert (label == -100).nonzero().tolist() == [[1, 1], [3, 3]]
    assert batch.inputs["image"].values[0, 0, 0, 0, 0] == 0


def test_places_are_kept_where_samples_have_them() -> None:
    place = {"crs": "EPSG:32633", "transform": torch.tensor([10.0, 0, 500_000, 0, -10, 5_000_000])}
    (batch,) = from_torchgeo(Fake(1, **place))
    box = batch.inputs["image"].grid[0]
    assert box.crs.epsg == 32633 and tuple(box.affine)[:6] == (10, 0, 500_000, 0, -10, 5_000_000)
    (batch,) = from_torchgeo(Fake(1))
    assert batch.inputs["image"].grid[0].crs is None


def test_one_label_for_a_sample() -> None:
    (batch,) = from_torchgeo(Fake(3, mask=None, label=torch.tensor(1)), bands=["a", "b"])
    batch.check({"label": "classification"})
    assert batch.targets["label"].tolist() == [1, 1, 1]


def test_they_can_be_learned_from_and_scored() -> None:
    loader = from_torchgeo(Fake())
    model = MajorityClass({"image": loader.bands}, loader.classes).fit(loader)
    assert score(model, loader).value("accuracy") == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"dataset": Fake(0)}, InputError, "holds no sample"),
        ({"indices": [7]}, InputError, "sample 7 is not in the data set"),
        ({"indices": []}, InputError, "no sample"),
        ({"batch_size": 0}, ConfigError, "batch_size = 0"),
        ({"classes": []}, ConfigError, "does not name its classes"),
        ({"bands": []}, ConfigError, "does not name its bands"),
        ({"bands": ["B04", "B99"], "sensor": "sentinel2_l2a"}, InputError, "no band 'B99'"),
    ],
)
def test_bad_requests(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        from_torchgeo(**{"dataset": Fake(), **options})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"image": None}, "has no 'image'; it has mask"),
        ({"mask": None}, "has no 'mask' or 'label'"),
        ({"image": torch.zeros(3, 4, 6)}, r"image of sample 0 has the shape \(3, 4, 6\)"),
        ({"mask": torch.full((4, 6), 2)}, "holds the number 2"),
        ({"mask": torch.full((4, 6), -1)}, "holds the number -1"),
        ({"mask": torch.full((4, 6), 0.5)}, "whole numbers"),
        ({"mask": torch.zeros(5, 6, dtype=torch.long)}, "of one size"),
        ({"mask": torch.zeros(2, 3, 4, 6, dtype=torch.long)}, "label of sample 0"),
    ],
)
def test_bad_samples_name_themselves(parts: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(from_torchgeo(Fake(2, **parts)))


SCRIPT = """
import sys, tempfile, pathlib, numpy, rasterio
sys.path.insert(0, sys.argv[1])
import shim
from torchgeo.datasets import RasterDataset
class Images(RasterDataset):
    filename_glob = "image*.tif"
    all_bands = ("B04", "B08")
folder = pathlib.Path(tempfile.mkdtemp())
place = dict(crs="EPSG:32633", transform=rasterio.Affine(10, 0, 500000, 0, -10, 5000000))
size = dict(width=8, height=8, count=2, dtype="int16")
with rasterio.open(folder / "image.tif", "w", driver="GTiff", **size, **place) as out:
    out.write(numpy.arange(128, dtype="int16").reshape(2, 8, 8))
sample = (data := Images(folder))[data.bounds]
print(sorted(sample), tuple(sample["image"].shape), type(sample["crs"]).__name__, list(data.all_bands))
"""


def test_torchgeo_answers_as_expected() -> None:
    """The parts of a sample and their shapes are those that ``from_torchgeo`` reads."""
    command = [python_of("torchgeo"), "-c", SCRIPT, str(PEERS.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.strip().splitlines()[-1]
    assert "'image'" in said and "'crs'" in said and "(2, 8, 8)" in said and "['B04', 'B08']" in said
