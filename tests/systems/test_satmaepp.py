"""SatMAE++: what the three networks share, the probe, and the smoke of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from swath import systems
from swath.errors import ConfigError
from swath.sources.published import rsscn7
from swath.systems.eo import _satmaepp_probe as probe
from swath.systems.eo import satmaepp
from swath.systems.eo._pictures import PictureLoader, Pictures
from swath.types import ResultRow


def made(count: int = 14, size: int = 16, seed: int = 0) -> Pictures:
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 7
    values = (draw.random((count, 3, size, size)) * 0.1 + labels[:, None, None, None] / 8).astype(np.float32)
    ids = tuple(f"p{place}" for place in range(count))
    return Pictures(values, labels, ids, tuple(f"{rsscn7.CLASSES[label]} {place // 7:02d}" for place, label in
                                               enumerate(labels)))  # fmt: skip


@pytest.fixture
def config() -> satmaepp.Config:
    return satmaepp.Config.quick().model_copy(update={"size": 16, "patch": 4, "batch_size": 7, "epochs": 2})


def test_the_control_has_the_same_inputs_to_the_bit_and_no_detail() -> None:
    pictures = made()
    plain = satmaepp.lowpass(pictures)
    np.testing.assert_array_equal(satmaepp.coarse(plain).values, satmaepp.coarse(pictures).values)
    assert plain.values.shape == pictures.values.shape
    blocks = plain.values.reshape(14, 3, 8, 2, 8, 2)
    assert np.ptp(blocks, axis=(3, 5)).max() == 0


def test_all_networks_start_from_the_same_weights(config: satmaepp.Config) -> None:
    single, multi = (satmaepp.objective(config, doublings, made(), 3) for doublings in (0, 1))
    states = [task.model.state_dict() for task in (single, multi)]
    assert set(states[0]) < set(states[1])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    other = satmaepp.objective(config, 0, made(), 4).model.state_dict()
    assert not torch.equal(other["predict.0.weight"], states[0]["predict.0.weight"])


def test_the_two_losses_hide_the_same_patches(config: satmaepp.Config) -> None:
    single, multi = (satmaepp.objective(config, doublings, made(), 0) for doublings in (0, 1))
    batch = next(PictureLoader(made(), batch_size=5, seed=0).epoch(0))
    coarse = next(PictureLoader(satmaepp.coarse(made()), batch_size=5, seed=0).epoch(0))
    first = single.restore(coarse, torch.Generator().manual_seed(1))
    second = multi.restore(batch, torch.Generator().manual_seed(1))
    assert torch.equal(first.hidden, second.hidden)
    torch.testing.assert_close(first.original, second.original)


def test_pretraining_lowers_the_error_and_is_taken_up_again(config: satmaepp.Config, tmp_path: Path) -> None:
    pictures = made(28)
    task = satmaepp.pretrained(config, "multi", pictures, tmp_path / "multi", 0)
    again = satmaepp.pretrained(config, "multi", pictures, tmp_path / "multi", 0)
    assert all(torch.equal(a, b) for a, b in zip(task.state_dict().values(), again.state_dict().values(), strict=True))
    fresh = satmaepp.objective(config, 1, pictures, 0)
    batch = pictures.batch()
    losses = [each.loss(batch, torch.Generator().manual_seed(0)) for each in (task, fresh)]
    means = [float(loss["loss_sum"].detach() / loss["count"]) for loss in losses]
    assert means[0] < means[1]


def test_draws_are_balanced_and_repeat() -> None:
    pictures = made(70)
    picks = probe.drawn(pictures, 3, 4, 7)
    assert len(picks) == 4
    for places in picks:
        assert np.bincount(pictures.labels[places]).tolist() == [3] * 7
    assert all(np.array_equal(a, b) for a, b in zip(picks, probe.drawn(pictures, 3, 4, 7), strict=True))
    assert not np.array_equal(picks[0], picks[1])


def test_the_probe_tells_classes_and_its_controls_behave() -> None:
    learned, tested = made(70, seed=1), made(70, seed=2)
    noise = np.random.default_rng(0)

    def features(strength: float) -> probe.Features:
        return probe.Features(
            *((np.eye(7)[each.labels] * strength + noise.normal(0, 1, (70, 7))).astype(np.float32) for each in
              (learned, tested))
        )  # fmt: skip

    cases = {"single": features(0.0), "multi": features(6.0)}
    base = ResultRow(run_id="r", system="satmaepp", seed=0)
    rows = probe.rows(cases, learned, tested, (5, 9), 3, base)
    whole = {(row.backbone, row.metric): row.value for row in rows if row.group is None}
    assert whole["multi", "accuracy_few"] > 0.95
    assert whole["single", "accuracy_few"] < 0.4
    assert whole["planted", "accuracy_more"] > whole["single", "accuracy_more"] + 0.1
    assert whole["shuffled", "accuracy_more"] < 0.5
    blocks = [row for row in rows if row.group is not None and (row.backbone, row.metric) == ("multi", "accuracy_few")]
    assert len(blocks) == 70
    assert np.mean([row.value for row in blocks]) == pytest.approx(whole["multi", "accuracy_few"])


def test_the_smoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWATH_DATA", raising=False)
    module = systems.load("satmaepp")
    report = module.run(module.Config.quick(), tmp_path, seed=1)
    whole = {(row.backbone, row.metric) for row in report.rows if row.group is None}
    assert {("multi", "psnr_2x"), ("bilinear", "psnr_2x"), ("random_forest", "accuracy_few")} <= whole
    assert (tmp_path / "reconstructions.png").stat().st_size > 1000
    assert (tmp_path / "report.html").is_file()
    assert report.data == "fixture"


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        satmaepp.Config(size=20)
    with pytest.raises(ConfigError):
        satmaepp.objective(satmaepp.Config.quick().model_copy(update={"heads": 3}), 0, made(), 0)
