"""What reobench measures: networks, textures, shared sweeps, the numbers of its claims, and a run on made-up trees."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from swath import judge
from swath.errors import ClaimError, ConfigError, ContractError, MissingError
from swath.judge.corruptions import NAMES, SEVERITY_SET, corrupt
from swath.nn import Normalise
from swath.sources.published import rsscn7
from swath.systems.eo import _pictures as pictures_room
from swath.systems.eo import _reobench_learning as learning
from swath.systems.eo import _reobench_numbers as numbers
from swath.systems.eo import reobench
from swath.systems.eo._reobench_judging import Judged, Sweeps, judge_one, run_sweeps
from swath.systems.eo._reobench_land import Land
from swath.systems.eo._reobench_networks import Encoder, MaskedAutoencoder, ResNet, VisionTransformer, patches
from swath.systems.eo._reobench_textures import TextureForest, texture_features
from swath.types import IGNORE, Batch, Prediction, Report, ResultRow

CLAIMS = Path(__file__).parents[2] / "claims" / "reobench.toml"
BASE = ResultRow("r", "reobench", seed=3)


def made(count: int = 8, size: int = 32, seed: int = 0) -> pictures_room.Pictures:
    draw = np.random.default_rng(seed)
    values = draw.uniform(size=(count, 3, size, size)).astype(np.float32)
    ids = tuple(f"p{place}" for place in range(count))
    return pictures_room.Pictures(values, np.arange(count) % 7, ids, tuple(f"g{place // 2}" for place in range(count)))


class Fixed:
    """Says the same for the same number of images, and remembers what it saw."""

    task = "classification"

    def __init__(self, logits: torch.Tensor, classes: tuple[str, ...] = rsscn7.CLASSES) -> None:
        self.logits, self.classes, self.inputs = logits, classes, {"image": pictures_room.colours()}
        self.seen: list[torch.Tensor] = []

    def predict(self, batch: Batch) -> Prediction:
        self.seen.append(batch.inputs["image"].values)
        valid = torch.ones(self.logits.shape[:1] + self.logits.shape[2:], dtype=torch.bool)
        return Prediction(self.task, {"logits": self.logits}, valid, self.classes)  # type: ignore[arg-type]


def test_patches_are_those_of_the_image() -> None:
    images = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).view(2, 3, 8, 8)
    cut = patches(images, 4)
    assert cut.shape == (2, 4, 48)
    for place, (row, column) in enumerate(((0, 0), (0, 4), (4, 0), (4, 4))):
        assert (cut[:, place].view(2, 3, 4, 4) == images[:, :, row : row + 4, column : column + 4]).all()


@pytest.mark.parametrize("count", [1, 3])
def test_networks_give_one_score_per_class(count: int) -> None:
    images = torch.randn(count, 3, 32, 32)
    assert ResNet(3, 7, width=8)(images).shape == (count, 7)
    encoder = Encoder(3, 32, width=16, depth=2)
    assert VisionTransformer(encoder, 7)(images).shape == (count, 7)
    kept = torch.tensor([[3, 0]]).expand(count, -1)
    assert encoder(images, kept).shape == (count, 2, 16)
    with pytest.raises(ConfigError, match="patches that fill the image"):
        Encoder(3, 30, patch=8)


def test_the_score_of_an_image_does_not_depend_on_the_others() -> None:
    images = torch.randn(4, 3, 32, 32)
    for network in (ResNet(3, 7, width=8), VisionTransformer(Encoder(3, 32, width=16, depth=1), 7)):
        torch.testing.assert_close(network(images)[:1], network(images[:1]), rtol=1e-4, atol=1e-5)


def test_hidden_patches_do_not_reach_the_encoder() -> None:
    torch.manual_seed(0)
    network = MaskedAutoencoder(Encoder(3, 32, width=16, depth=1))
    images = torch.randn(2, 3, 32, 32, requires_grad=True)
    total, count = network(images, torch.Generator().manual_seed(1))
    assert count == 2 * 12
    seen: list[torch.Tensor] = []
    network.encoder.register_forward_hook(lambda module, given, features: seen.append(features))
    order = torch.rand((2, 16), generator=torch.Generator().manual_seed(1)).argsort(dim=1)
    network(images, torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((seen[0] * torch.randn(seen[0].shape)).sum(), images)
    moved = patches(gradient, 8).abs().sum(dim=2) > 0
    for sample in range(2):
        assert set(moved[sample].nonzero().flatten().tolist()) == set(order[sample, :4].tolist())
    assert float(total.detach()) > 0


def test_masked_pretraining_learns(tmp_path: Path) -> None:
    pictures = made(16)
    pictures.values[:] = pictures.values[:1]  # one picture: it can be learned by heart
    normalise = pictures_room.statistics_of(pictures)
    encoder = Encoder(3, 32, width=16, depth=1)
    schedule = learning.Schedule(epochs=12, rate=1e-2, batch_size=8)
    learning.pretrained(encoder, normalise, pictures, schedule, tmp_path, 0)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    column = lines[0].split(",").index("loss")
    losses = [float(line.split(",")[column]) for line in lines[1:]]
    assert losses[-1] < 0.9 * losses[0]


def test_textures_of_a_flat_and_of_a_turned_image() -> None:
    flat = np.full((1, 3, 16, 16), 0.5, np.float32)
    features = texture_features(flat)[0]
    assert features[:3] == pytest.approx(0.5) and features[3:6] == pytest.approx(0)
    assert features[15:25] == pytest.approx(np.eye(10)[8])  # no neighbour is darker than the centre
    image = np.random.default_rng(0).uniform(size=(1, 3, 16, 16)).astype(np.float32)
    turned = np.rot90(image, axes=(2, 3)).copy()
    np.testing.assert_allclose(texture_features(image)[0, :35], texture_features(turned)[0, :35], atol=1e-6)
    shares = texture_features(image)[0]
    assert shares[15:25].sum() == pytest.approx(1) and shares[25:35].sum() == pytest.approx(1)
    assert shares[35:42].sum() == pytest.approx(1)


def test_the_forest_learns_colours_and_fills_what_is_missing() -> None:
    pictures = made(28)
    pictures.values[:] = 0.1 * pictures.values + pictures.labels[:, None, None, None] / 8
    forest = TextureForest(pictures_room.colours(), rsscn7.CLASSES, trees=20)
    with pytest.raises(ContractError, match="before it was fitted"):
        forest.predict(pictures.batch())
    forest.fit(pictures.batch())
    assert (forest.predict(pictures.batch()).label().numpy() == pictures.labels).all()
    batch = pictures.batch(slice(0, 2))
    image = batch.inputs["image"]
    hidden = replace(image, valid=torch.zeros_like(image.valid))
    first, second = forest.predict(replace(batch, inputs={"image": hidden})).probability()
    assert (first == second).all()
    assert not forest.predict(replace(batch, inputs={"image": hidden})).valid.any()


def test_pictures_taken_are_those_of_their_files(tmp_path: Path) -> None:
    scenes = rsscn7.open(rsscn7.write_fake(tmp_path))
    library = pictures_room.Library(scenes, 16)
    names = ["gParking/g012", "aGrass/a001", "cIndustry/c002"]
    taken = library.take(names)
    assert taken.ids == tuple(names) and taken.labels.tolist() == [6, 0, 2]
    assert taken.groups == ("parking 01", "grass 00", "industry 00")
    image = next(scene for scene in scenes if scene.id == names[1]).image()
    means = image.reshape(3, 16, 2, 16, 2).mean(axis=(2, 4)) / 255
    assert np.abs(taken.values[1] - means).max() < 1.01 / 255  # rounded once per axis
    scenes[0].path.unlink()  # read once only
    assert (library.take(["aGrass/a001"]).values == taken.values[1:2]).all()
    every = [scene.id for scene in scenes]
    assert library.take(every[1:], 3).ids == (every[1], every[28], every[-1])
    assert len(library.take(every[:2], 99)) == 2
    taken.batch(np.array([2, 0])).check({"label": "classification"})


def test_half_of_each_batch_is_corrupted() -> None:
    pictures = made(24)
    plain = pictures_room.PictureLoader(pictures, batch_size=8, seed=1)
    worse = pictures_room.PictureLoader(pictures, batch_size=8, seed=1, corruptions=("gaussian_noise", "rotate"))
    assert len(plain) == 3
    for clean, other in zip(plain.epoch(2), worse.epoch(2), strict=True):
        assert clean.ids == other.ids
        same = (clean.inputs["image"].values == other.inputs["image"].values).flatten(1).all(dim=1)
        assert same.tolist() == [False] * 4 + [True] * 4
        other.check({"label": "classification"})
    assert (next(worse.epoch(2, 2)).inputs["image"].values == other.inputs["image"].values).all()
    assert next(worse.epoch(0)).ids != next(worse.epoch(1)).ids
    assert [batch.batch_size for batch in pictures_room.PictureLoader(made(5), batch_size=3, seed=0).epoch(0)] == [3, 2]


def test_a_judgement_by_hand() -> None:
    pictures = made(4)
    shares = torch.full((4, 7), 0.05)
    shares[[0, 1, 2, 3], [0, 1, 5, 3]] = 0.7  # three of four are right
    judged = judge_one(Fixed(shares.log()), [pictures.batch()])
    assert judged.values["accuracy"] == 0.75 and judged.right.tolist() == [1, 1, 0, 1]
    assert judged.total.tolist() == [1, 1, 1, 1]
    right, wrong = 0.3**2 + 6 * 0.05**2, 0.7**2 + 0.95**2 + 5 * 0.05**2
    assert judged.values["brier"] == pytest.approx((3 * right + wrong) / 4)
    assert judged.values["ece_cls"] == pytest.approx(0.05, abs=1e-6)


def test_all_contenders_see_the_same_corrupted_samples() -> None:
    pictures = made(4)
    contenders = {name: Fixed(torch.eye(7)[:4].clone()) for name in ("resnet", "other")}
    sweeps = run_sweeps(contenders, [pictures.batch()], empty(("resnet", "other"), 4), BASE)
    first, second = (each.seen for each in contenders.values())
    assert len(first) == len(second) == 61
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert len(sweeps.rows) == 122 and len({row.key() for row in sweeps.rows}) == 122
    wanted = corrupt(pictures.batch(), "haze", 2, 3).inputs["image"].values
    assert any((values == wanted).all() for values in first)
    assert sweeps.names() == NAMES and sweeps.severities() == (1, 2, 3, 4, 5)


def empty(plain: tuple[str, ...], count: int) -> Sweeps:
    return Sweeps("accuracy", plain, np.arange(count) % 2 == 1)


def filled(values: dict[str, float], clean: dict[str, float], names: tuple[str, ...] = NAMES) -> Sweeps:
    """Every contender has one value under all corruptions; ten samples, rights spread from the first on."""
    sweeps = empty(tuple(values), 10)
    for who, value in values.items():
        for name, step in [(None, None), *((name, step) for name in names for step in (1, 2, 3, 4, 5))]:
            score = clean[who] if name is None else value
            right = (np.arange(10) < round(10 * score)).astype(np.int64)
            told = {"accuracy": score, "miou": score, "ece_cls": 1 - score, "brier": 1 - score}
            sweeps.cells[who, name, step] = Judged(told, right, np.ones(10, np.int64))
    return sweeps


def test_recovered_share_by_hand() -> None:
    sweeps = filled({"resnet": 0.4, "resnet_augmented": 0.6}, {"resnet": 0.8, "resnet_augmented": 0.7})
    assert numbers.recovered_share(sweeps, NAMES) == pytest.approx(0.5)
    assert sweeps.drop("resnet", "accuracy", NAMES) == pytest.approx(0.4)
    nothing = filled({"resnet": 0.75, "resnet_augmented": 0.9}, {"resnet": 0.75, "resnet_augmented": 0.9})
    assert np.isnan(numbers.recovered_share(nothing, NAMES))


def test_what_is_chosen_is_told_by_the_other_half() -> None:
    sweeps = filled({"resnet": 0.6, "forest": 0.6}, {"resnet": 0.8, "forest": 0.8})
    for step in range(1, 6):  # lucky on the first half (even places), unlucky on the second
        lucky = (np.arange(10) % 2 == 0).astype(np.int64)
        sweeps.cells["forest", "haze", step] = Judged({"accuracy": 0.5}, lucky, np.ones(10, np.int64))
    cell, drop = numbers.chosen_drop({"scenes": sweeps}, most=False)
    assert cell == ("scenes", "forest", "haze") and drop == pytest.approx(0.8)
    assert sweeps.half_drop("forest", "haze", second=False) == pytest.approx(-0.2)
    cell, drop = numbers.chosen_drop({"scenes": sweeps}, most=True)
    assert cell[2] != "haze" and drop == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([6, 5, 4, 3, 2, 1], 1.0),
        ([6, 5, 3, 4, 2, 1], 1 - 6 * 2 / 210),
        ([1, 2, 3, 4, 5, 6], -1.0),
        ([1, 1, 1, 1, 1, 1], 0.0),
    ],
)
def test_falling_curves(curve: list[float], expected: float) -> None:
    assert numbers.falling(curve) == pytest.approx(expected)


def test_controls_of_monotone_curves() -> None:
    curves = {name: [0.9 - 0.1 * step for step in range(6)] for name in NAMES}
    assert numbers.monotone_types(curves) == 12
    counts = [numbers.monotone_types(numbers.shuffled(curves, replace(BASE, seed=seed))) for seed in range(10)]
    assert np.mean(counts) < 1
    sweeps = filled({"resnet": 0.4}, {"resnet": 1.0})
    for name, step in [(name, step) for _, name, step in sweeps.cells]:
        told = sweeps.cells["resnet", name, step].values
        sweeps.cells["resnet", name, step] = Judged(told, np.ones(100, np.int64), np.ones(100, np.int64))
    assert numbers.monotone_types(numbers.planted(sweeps, "resnet", BASE)) == 12


def test_the_trained_corruptions_are_half_of_all() -> None:
    assert set(numbers.TRAINED) < set(NAMES) and len(numbers.TRAINED) == 6
    sweeps = filled({"resnet": 0.4}, {"resnet": 1.0})
    assert set(numbers.unseen(sweeps)) == set(NAMES) - set(numbers.TRAINED)


def test_tiles_hold_every_scored_label_once() -> None:
    draw = np.random.default_rng(0)
    scored = np.where(draw.random((70, 45)) < 0.01, draw.integers(4, size=(70, 45)), IGNORE)
    scored[:32, :32] = IGNORE
    values = draw.uniform(size=(6, 70, 45)).astype(np.float32)
    valid = np.ones_like(values, bool)
    land = Land(values, valid, scored, scored, ("a", "b", "c", "d"))
    batch = land.tiles(32)
    batch.check({"label": "segmentation"})
    assert batch.batch_size <= 5
    found, wanted = batch.targets["label"], scored[scored != IGNORE]
    assert sorted(found[found != IGNORE].tolist()) == sorted(wanted.tolist())
    where = batch.target_valid["label"]
    seen = batch.inputs["image"].values[:, 0, 0][where]
    assert sorted(seen.tolist()) == sorted(values[0][scored != IGNORE].tolist())
    scale = land.scale()
    assert float(scale.low.min()) > 0 and float(scale.high.max()) < 1


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[reobench.Config, Path, list[ResultRow]]:
    """A quick run on made-up trees."""
    out = tmp_path_factory.mktemp("reobench")
    root = out / "data"
    rsscn7.write_fake(root / reobench.FOLDER)
    reobench.rstoolbox.write_fake(root / reobench.rstoolbox.NAME)
    config = reobench.Config.quick().model_copy(update={"root": root, "test_pictures": 14})
    return config, out / "run", list(reobench.run(config, out / "run", seed=1).rows)


def test_a_quick_run(quick: tuple[reobench.Config, Path, list[ResultRow]]) -> None:
    config, out, rows = quick
    assert (out / "report.html").is_file() and "random_forest: accuracy" in (out / "grids.md").read_text()
    cells = [row for row in rows if row.metric == "accuracy"]
    assert len(cells) == 61 * 5 and {row.backbone for row in cells} == {*reobench.PLAIN, "resnet_augmented"}
    assert len([row for row in rows if row.metric == "miou"]) == 61 * 2
    assert all(0 <= row.value <= 1 for row in cells)
    assert {row.severity_set for row in cells if row.corruption} == {SEVERITY_SET}
    calibrated = [row for row in rows if row.metric == "brier"]
    assert len(calibrated) == 13 * 7 and all(0 <= row.value <= 2 for row in calibrated)
    stored = json.loads((out / "report.json").read_text())
    assert len(stored["rows"]) == len(rows)
    again = reobench.run(config, out, seed=1).rows
    assert [row.value for row in again] == pytest.approx([row.value for row in rows], nan_ok=True)


def test_every_claim_is_about_numbers_that_a_run_gives(
    quick: tuple[reobench.Config, Path, list[ResultRow]],
) -> None:
    known = {(row.metric, row.backbone) for row in quick[2]}
    counts = {key: sum((row.metric, row.backbone) == key for row in quick[2]) for key in known}
    for claim in judge.load_registration(CLAIMS):
        for who in (claim.contender, claim.baseline):
            assert counts.get((claim.metric, who)) == 1, (claim.name, who)


def test_test_pictures_are_no_training_pictures(tmp_path: Path) -> None:
    scenes = rsscn7.open(rsscn7.write_fake(tmp_path))
    split = rsscn7.split(scenes, 5)
    groups = {scene.id: scene.group for scene in scenes}
    parts = [{groups[name] for name in split.ids(part)} for part in ("train", "validation", "test")]
    assert not parts[0] & parts[2] and not parts[1] & parts[2] and not parts[0] & parts[1]


def test_without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWATH_DATA", raising=False)
    with pytest.raises(MissingError, match="SWATH_DATA"):
        reobench.run(reobench.Config(), tmp_path)


def test_statistics_are_those_of_the_pictures() -> None:
    pictures = made(5)
    normalise = pictures_room.statistics_of(pictures)
    assert isinstance(normalise, Normalise)
    assert normalise.mean.numpy() == pytest.approx(pictures.values.mean(axis=(0, 2, 3)), abs=1e-5)
    assert normalise.std.numpy() == pytest.approx(pictures.values.std(axis=(0, 2, 3)), abs=1e-5)


def test_evidence_goes_on_seed_by_seed_after_the_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path / "clone"), *who, *words], check=True, capture_output=True)

    measured: list[int] = []

    def seed_rows(config: object, data: object, out: Path, seed: int) -> list[ResultRow]:
        measured.append(seed)
        if seed == 3 and measured.count(3) == 1:
            raise KeyboardInterrupt
        claims = judge.load_registration(CLAIMS)
        keys = {(claim.metric, who) for claim in claims for who in (claim.contender, claim.baseline)}
        return [ResultRow(f"r{seed}", "reobench", backbone=who, metric=m, value=0.5, seed=seed) for m, who in keys]

    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    (tmp_path / "clone" / "claims").mkdir(parents=True)
    shutil.copy(CLAIMS, tmp_path / "clone" / "claims")
    git("init", "--quiet")
    monkeypatch.chdir(tmp_path / "clone")
    monkeypatch.setattr(reobench, "prepare", lambda config, out: SimpleNamespace(hash="d" * 12))
    monkeypatch.setattr(reobench, "seed_rows", seed_rows)
    monkeypatch.setattr(reobench, "_report", lambda *given: Report("reobench", reobench.TITLE, "real"))
    with pytest.raises(ClaimError, match="commit it first"):
        reobench.evidence(tmp_path / "out")
    assert measured == []
    git("add", "--all")
    git("commit", "--quiet", "-m", "register")
    with pytest.raises(KeyboardInterrupt):
        reobench.evidence(tmp_path / "out")
    reobench.evidence(tmp_path / "out")
    assert measured == [0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9]
    stored = judge.ResultTable.load(tmp_path / "clone" / "claims" / "evidence" / "reobench.parquet")
    assert {row.seed for row in stored} == set(range(10))
