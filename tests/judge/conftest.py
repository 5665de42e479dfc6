from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from judge_samples import BANDS, CLASSES, REGISTRATION, MakeBatches, Repository
from odc.geo.geobox import GeoBox
from scipy import ndimage

from swath.types import IGNORE, Batch, Modality, ResultRow


@pytest.fixture
def make_batches() -> MakeBatches:
    """Made-up chips with blobs of three classes, noisy colours, some unknown labels and some invalid pixels."""

    def make(
        count: int = 6, seed: int = 0, size: int = 16, batch_size: int = 4, invalid: float = 0.1, noise: float = 1.0
    ) -> list[Batch]:
        stream = np.random.default_rng(seed)
        fields = ndimage.gaussian_filter(stream.normal(size=(count, len(CLASSES), size, size)), (0, 0, 2, 2))
        labels = fields.argmax(axis=1)
        centres = np.array([[0.0, 2.0, 0.0], [2.0, 1.0, 0.0], [2.0, 2.0, 2.0]])
        values = np.moveaxis(centres[labels] + noise * stream.normal(size=(count, size, size, 3)), -1, 1)
        valid = stream.random((count, 1, 1, size, size)) >= invalid
        labels[stream.random(labels.shape) < 0.1] = IGNORE
        grid = GeoBox((size, size), Affine(0.1, 0, 0, 0, -0.1, 0), "EPSG:4326")
        batches = []
        for start in range(0, count, batch_size):
            part = slice(start, min(start + batch_size, count))
            number = part.stop - part.start
            image = Modality(
                torch.from_numpy(values[part, None]).float(),
                torch.from_numpy(valid[part]),
                BANDS,
                torch.zeros(number, 1, dtype=torch.int64),
                (grid,) * number,
            )
            target = torch.from_numpy(labels[part])
            ids = tuple(f"chip{seed}_{index}" for index in range(part.start, part.stop))
            batches.append(Batch({"image": image}, {"label": target}, {"label": target != IGNORE}, ids))
        return batches

    return make


@pytest.fixture
def row() -> ResultRow:
    return ResultRow("run", "demo", backbone="unet", metric="miou", value=0.5, seed=0)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.delenv("GIT_DIR", raising=False)
    return Repository(tmp_path / "repository")


@pytest.fixture
def registration(repository: Repository) -> Path:
    """claims/demo.toml in a repository, not committed yet."""
    path = repository.path / "claims" / "demo.toml"
    path.parent.mkdir()
    path.write_text(REGISTRATION)
    return path


@pytest.fixture
def evidence_rows() -> list[ResultRow]:
    """Ten seeds in which the network wins by 0.05 on average."""
    stream = np.random.default_rng(0)
    rows = []
    for seed in range(10):
        base = stream.normal(0.4, 0.02)
        for who, value in (("forest", base), ("unet", base + stream.normal(0.05, 0.01))):
            rows.append(ResultRow("run", "demo", backbone=who, seed=seed, metric="miou", value=value))
            rows.append(ResultRow("run", "demo", backbone=who, seed=seed, metric="iou", class_name="ice", value=value))
    return rows
