from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from corruption_samples import bands, image
from judge_samples import BANDS, CLASSES, MakeBatches

from swath.errors import ConfigError, InputError
from swath.judge import NearestColour, ResultTable
from swath.judge.corruptions import (
    NAMES,
    Sweep,
    corruption_grid,
    degradation_curves,
    scores_of,
    summary,
    sweep,
)
from swath.types import Batch, Predictor, ResultRow

FACTS = ResultRow("run", "demo", dataset="made up", backbone="nearest", data_kind="fixture", seed=0)


@pytest.fixture
def batches(make_batches: MakeBatches) -> list[Batch]:
    return make_batches(count=8, size=32, noise=0.3)


@pytest.fixture
def model(make_batches: MakeBatches) -> Predictor:
    return NearestColour({"image": BANDS}, CLASSES).fit(make_batches(count=8, size=32, seed=1, noise=0.3))


def test_rows_of_a_sweep(model: Predictor, batches: list[Batch]) -> None:
    rows = sweep(model, batches, ["haze", "rotate_new", "gaussian_noise"], (1, 5), 0, Sweep(FACTS))
    ResultTable(rows)  # no key twice
    cells = list(dict.fromkeys((row.corruption, row.severity, row.severity_set) for row in rows))
    assert cells == [
        (None, None, None),
        ("gaussian_noise", 1, "swath-2"), ("gaussian_noise", 5, "swath-2"),
        ("haze", 1, "swath-2"), ("haze", 5, "swath-2"),
        ("rotate", 1, "swath-2"), ("rotate", 5, "swath-2"),
    ]  # fmt: skip
    scores = scores_of(rows, "accuracy")
    assert scores.clean > scores.scores["gaussian_noise", 5]
    assert scores.scores["gaussian_noise", 1] > scores.scores["gaussian_noise", 5]
    # Labels move with the image, so a model of single colours hardly notices a turn.
    assert abs(scores.scores["rotate", 5] - scores.clean) < 0.02
    assert {row.protocol for row in rows} == {"corruptions, seed 0"}
    again = sweep(model, batches, ["haze", "rotate_new", "gaussian_noise"], (1, 5), 0, Sweep(FACTS))
    assert again == rows


def test_batches_of_any_size_score_alike(model: Predictor, make_batches: MakeBatches) -> None:
    found = []
    for size in (1, 3, 8):
        batches = make_batches(count=8, size=32, noise=0.3, batch_size=size)
        rows = sweep(model, batches, ["motion_blur", "scale", "gaps"], (4,), 0)
        found.append([(row.metric, row.corruption, row.value) for row in rows if row.class_name is None])
    assert found[0] == found[1] == found[2]


def test_finished_cells_are_passed_over(model: Predictor, batches: list[Batch], tmp_path: Path) -> None:
    calls: list[tuple[str | None, int | None]] = []

    def scorer(predictor: Predictor, loader: Iterable[Batch], facts: ResultRow) -> Sequence[ResultRow]:
        calls.append((facts.corruption, facts.severity))
        if len(calls) == 3:
            raise KeyboardInterrupt
        count = sum(batch.batch_size for batch in loader)
        return [replace(facts, metric="accuracy", value=0.5, higher_is_better=True, n_test=count)]

    options = Sweep(FACTS, scorer=scorer, path=tmp_path / "sweep.parquet")
    with pytest.raises(KeyboardInterrupt):
        sweep(model, batches, ["haze", "gaps"], (1, 2), 0, options)
    rows = sweep(model, batches, ["haze", "gaps"], (1, 2), 0, options)
    assert len(rows) == 5
    assert calls == [(None, None), ("haze", 1), ("haze", 2), ("haze", 2), ("gaps", 1), ("gaps", 2)]
    assert ResultTable.load(tmp_path / "sweep.parquet").rows == tuple(rows)
    sweep(model, batches, ["haze"], (1,), 1, options)  # another seed is another measurement
    assert calls[6:] == [(None, None), ("haze", 1)]
    changed = replace(options, facts=replace(FACTS, config_hash="other"))
    with pytest.raises(InputError, match="config_hash"):
        sweep(model, batches, ["haze"], (1,), 0, changed)


def test_radar_alone_has_no_weather(model: Predictor) -> None:
    radar = image(np.full((1, 1, 2, 32, 32), -12.0), names=bands(2, "backscatter", "dB"))
    label = torch.zeros(1, 32, 32, dtype=torch.int64)
    batch = Batch({"s1": radar}, {"label": label}, {"label": label == 0}, ("a",))

    def scorer(predictor: Predictor, loader: Iterable[Batch], facts: ResultRow) -> Sequence[ResultRow]:
        list(loader)
        return [replace(facts, metric="accuracy", value=0.5)]

    rows = sweep(model, [batch], None, (1,), 0, Sweep(scorer=scorer))
    assert {row.corruption for row in rows} == {None, *NAMES} - {"clouds", "haze"}
    with pytest.raises(InputError, match="radar sees through"):
        sweep(model, [batch], ["haze"], (1,), 0, Sweep(scorer=scorer))


def test_bad_input(model: Predictor, batches: list[Batch]) -> None:
    for severities in ((0,), (6,), ()):
        with pytest.raises(ConfigError):
            sweep(model, batches, ["haze"], severities, 0)
    with pytest.raises(ConfigError, match="no corruption 'fog'"):
        sweep(model, batches, ["fog"], (1,), 0)
    with pytest.raises(InputError, match="only once"):
        sweep(model, iter(batches), ["haze"], (1,), 0)
    with pytest.raises(InputError, match="no batches"):
        sweep(model, [], ["haze"], (1,), 0)


def made_up(clean: float = 0.9, offset: float = 0.0) -> list[ResultRow]:
    """A sweep whose scores can be worked out by hand."""
    base = replace(FACTS, metric="accuracy", variant="pooled", higher_is_better=True)
    rows = [replace(base, value=clean)]
    for name, loss in (("haze", 0.1), ("rotate", 0.2)):
        for severity in (1, 3, 5):
            value = clean - loss * severity / 5 - offset
            rows.append(replace(base, corruption=name, severity=severity, severity_set="swath-2", value=value))
    return rows


def test_summary_by_hand() -> None:
    found = {(row.corruption, row.metric): row.value for row in summary(made_up(), "accuracy", made_up(0.9, 0.05))}
    assert found["haze", "m"] == pytest.approx(0.84)
    assert found["rotate", "drop"] == pytest.approx(0.12)
    assert found["rotate", "rel_drop"] == pytest.approx(0.12 / 0.9)
    assert found[None, "drop"] == pytest.approx(0.09)
    assert found[None, "worst"] == pytest.approx(0.78)
    assert found[None, "mce"] == pytest.approx((0.16 / 0.21 + 0.22 / 0.27) / 2)
    rows = summary(made_up(), "accuracy")
    assert {row.variant for row in rows} == {"accuracy"} and all("1, 3, 5" in str(row.note) for row in rows)
    ResultTable([*made_up(), *rows])
    assert summary([*made_up(), *rows], "accuracy") == rows  # a summary among the rows is not summarised again


def test_no_sweep() -> None:
    with pytest.raises(InputError, match="1 clean and 0 corrupted"):
        scores_of(made_up()[:1], "accuracy")
    with pytest.raises(InputError, match="several values"):
        scores_of([*made_up(), *made_up()], "accuracy")
    with pytest.raises(InputError, match="0 clean"):
        scores_of(made_up(), "miou")


def test_pages_and_pictures(tmp_path: Path) -> None:
    page = corruption_grid(made_up(), "accuracy")
    lines = page.splitlines()
    assert lines[0] == "| accuracy [%] | severity 1 | severity 3 | severity 5 | mean | drop |"
    assert lines[3] == "| haze | 88.0 | 84.0 | 80.0 | 84.0 | 6.0 |"
    assert lines[-1] == "| all |  |  |  | 81.0 | 9.0 |"
    assert len({line.count("|") for line in lines}) == 1
    path = degradation_curves(made_up(), "accuracy", tmp_path / "curves.png", "demo")
    assert path.read_bytes()[:4] == b"\x89PNG"
    again = degradation_curves(made_up(), "accuracy", tmp_path / "again.png", "demo")
    assert path.read_bytes() == again.read_bytes()
