"""Exported models: the graph, its record, the session, whole numbers and costs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from odc.geo.geobox import GeoBox

from swath import rng
from swath.errors import ConfigError, ContractError, InputError
from swath.exporting import usual_side
from swath.learn import ModelTask, SegmentationTask
from swath.learn.goals import AnyGoal, LabelGoal, ValueGoal
from swath.learn.intake import Intake
from swath.nn import Normalise, UNet
from swath.nn.branch import Time
from swath.nn.joint import JointNetwork
from swath.predict.export import (
    OnnxPredictor,
    SingleInput,
    count_macs,
    largest_difference,
    measure,
    quantise,
    read_record,
    record_path,
    takes_one_size,
    write_onnx,
)
from swath.sensors import Band, BandSet
from swath.types import Batch, Modality, Task

BANDS = BandSet((Band("B04", kind="reflectance"), Band("B08", kind="reflectance"), Band("B11", kind="reflectance")))
CLASSES = ("water", "soil", "plants", "ice")


def batch_of(samples: int, rows: int, columns: int, seed: int = 0, bands: BandSet = BANDS) -> Batch:
    """Random reflectance with holes."""
    draw = rng.generator(seed, "export test")
    values = torch.from_numpy(draw.random((samples, 1, len(bands), rows, columns), dtype=np.float32))
    valid = torch.from_numpy(draw.random((samples, 1, len(bands), rows, columns)) > 0.2)
    valid[:, :, :, :2, :2] = False
    box = GeoBox((rows, columns), Affine(10, 0, 0, 0, -10, 0), "EPSG:32633")
    time = torch.zeros((samples, 1), dtype=torch.int64)
    image = Modality(torch.where(valid, values, 0.0), valid, bands, time, (box,) * samples)
    return Batch({"image": image}, ids=tuple(f"chip {number}" for number in range(samples)))


def task_of(network: torch.nn.Module) -> SegmentationTask:
    return SegmentationTask(
        network, Normalise([0.4, 0.5, 0.6], [0.2, 0.3, 0.25], names=BANDS.names), BANDS, CLASSES,
        colours=("#000000", "#111111", "#222222", "#333333"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def task() -> SegmentationTask:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return task_of(UNet(3, 4, width=8, depth=2)).eval()


@pytest.fixture(scope="module")
def exported(task: SegmentationTask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "model.onnx"
    write_onnx(task, out, side=32, source="run")
    return out


def test_the_file_answers_like_the_model_at_any_size(task: SegmentationTask, exported: Path) -> None:
    predictor = OnnxPredictor(exported)
    assert predictor.record.side == 0
    for shape in ((1, 16, 16), (3, 32, 32), (2, 40, 56), (1, 33, 47)):
        batch = batch_of(*shape)
        found, wanted = predictor.predict(batch), task.predict(batch)
        found.check(batch)
        assert torch.equal(found.valid, wanted.valid)
        torch.testing.assert_close(found.outputs["logits"], wanted.outputs["logits"], rtol=1e-4, atol=1e-5)
    differences = largest_difference(task, predictor, [batch_of(2, 32, 32, seed) for seed in range(3)])
    assert differences["difference"] < 1e-4
    assert differences["agreement"] > 0.999


def test_bands_are_found_by_name(task: SegmentationTask, exported: Path) -> None:
    batch = batch_of(1, 16, 16)
    image = batch.inputs["image"]
    order = [2, 0, 1]
    turned = BandSet(tuple(list(BANDS)[index] for index in order))
    mixed = Modality(image.values[:, :, order], image.valid[:, :, order], turned, image.time, image.grid)
    predictor = OnnxPredictor(exported)
    straight = predictor.predict(batch).outputs["logits"]
    assert torch.equal(predictor.predict(Batch({"image": mixed}, ids=batch.ids)).outputs["logits"], straight)
    fewer = Modality(image.values[:, :, :2], image.valid[:, :, :2], BandSet(tuple(BANDS)[:2]), image.time, image.grid)
    with pytest.raises(InputError, match="B11"):
        predictor.predict(Batch({"image": fewer}, ids=batch.ids))


def test_what_lies_under_the_mask_changes_nothing(exported: Path) -> None:
    batch = batch_of(1, 16, 24)
    image = batch.inputs["image"]
    spoilt = Modality(torch.where(image.valid, image.values, 9e9), image.valid, BANDS, image.time, image.grid)
    predictor = OnnxPredictor(exported)
    first, second = (
        predictor.predict(each).outputs["logits"] for each in (batch, Batch({"image": spoilt}, ids=batch.ids))
    )
    assert torch.equal(first, second)


def test_the_record_tells_all_that_is_needed(exported: Path) -> None:
    record = read_record(exported)
    assert (record.side, record.multiple) == (0, 8)
    assert (record.task, record.classes, record.bands.names) == ("segmentation", CLASSES, BANDS.names)
    assert record.statistics["mean"] == pytest.approx([0.4, 0.5, 0.6])
    assert record.colours[1] == "#111111"
    assert record.source == "run"


def test_int8_agrees_where_ranges_come_from_like_chips(task: SegmentationTask, exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.onnx"
    made = quantise(exported, out, [batch_of(4, 32, 32, seed) for seed in range(3)])
    assert made.precision == read_record(out).precision == "int8"
    differences = largest_difference(task, OnnxPredictor(out), [batch_of(4, 32, 32, 9)])
    assert 0 < differences["relative"] < 0.15
    assert differences["agreement"] > 0.85
    with pytest.raises(ConfigError, match="float32"):
        quantise(out, tmp_path / "smaller.onnx", [batch_of(1, 32, 32)])
    with pytest.raises(InputError, match="no batch"):
        quantise(exported, tmp_path / "other.onnx", [])


def model_of(task: Task, dates: int = 1, time: Time = "pool", inputs: tuple[str, ...] = ("image",)) -> ModelTask:
    """A small transformer for any task."""
    sizes = {name: {"bands": 3, "dates": dates} for name in inputs}
    goal: AnyGoal = LabelGoal(task, CLASSES)
    if task == "regression":
        goal = ValueGoal(task, ("height", "mass"), [100.0, 5.0], [50.0, 2.0], units=("m", "t"))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = JointNetwork(
            sizes, len(goal.names), backbone="vit_micro", head="vector", time=time,
            options={"depth": 1, "width": 12, "patch": 8}, series={"width": 4} if time == "gru" else {},
        )  # fmt: skip
    each = Normalise([0.4, 0.5, 0.6], [0.2, 0.3, 0.25], names=BANDS.names)
    days = network.needs_days
    intake = Intake(dict.fromkeys(inputs, BANDS), dict.fromkeys(inputs, each), dict.fromkeys(inputs, dates),
                    needs_days=days)  # fmt: skip
    return ModelTask(network, goal, intake).eval()


def dated(batch: Batch, dates: int) -> Batch:
    """Every sample as several dates, which differ."""
    image = batch.inputs["image"]
    values = torch.cat([image.values * (date + 1) for date in range(dates)], dim=1)
    valid = torch.cat([image.valid.roll(date, -1) for date in range(dates)], dim=1)
    valid[0, -1] = False  # a date that is missing
    time = image.time.repeat(1, dates)
    return Batch({"image": Modality(torch.where(valid, values, 0.0), valid, BANDS, time, image.grid)}, ids=batch.ids)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelTask, Path]:
    task = model_of("classification", 2)
    out = tmp_path_factory.mktemp("export") / "vit.onnx"
    graph = SingleInput(task)
    assert write_onnx(graph, out, side=32, dates=graph.dates).side == 32
    return task, out


def test_a_transformer_of_two_dates_answers_like_its_file_at_its_size(classifier: tuple[ModelTask, Path]) -> None:
    task, out = classifier
    predictor, batch = OnnxPredictor(out), dated(batch_of(3, 32, 32), 2)
    found, wanted = predictor.predict(batch), task.predict(batch)
    found.check(batch)
    assert found.outputs["logits"].shape == (3, 4)
    assert torch.equal(found.valid, wanted.valid)
    torch.testing.assert_close(found.outputs["logits"], wanted.outputs["logits"], rtol=1e-4, atol=1e-5)
    assert predictor.predict(dated(batch_of(1, 20, 32), 2)).outputs["logits"].shape == (1, 4)
    with pytest.raises(InputError, match="at most 32 x 32"):
        predictor.predict(dated(batch_of(1, 48, 32), 2))
    assert count_macs(SingleInput(task), (1, 2, 3, 32, 32)) > 0


def test_products_within_attention_stay_in_floats(classifier: tuple[ModelTask, Path], tmp_path: Path) -> None:
    import onnx

    task, plain = classifier
    out = tmp_path / "whole.onnx"
    quantise(plain, out, [dated(batch_of(3, 32, 32, seed), 2) for seed in range(3)])
    nodes = onnx.load(out).graph.node
    makers = {name: node for node in nodes for name in node.output}
    products = [node for node in nodes if node.op_type == "MatMul"]
    softmax = next(node for node in nodes if node.op_type == "Softmax")
    assert makers[softmax.input[0]].op_type != "DequantizeLinear"
    whole = [{makers[name].op_type for name in node.input if name in makers} for node in products]
    assert {"DequantizeLinear"} in whole  # of results with weights
    assert sum("DequantizeLinear" not in kinds for kinds in whole) == 2  # queries with keys, shares with values
    differences = largest_difference(task, OnnxPredictor(out), [dated(batch_of(3, 32, 32, 9), 2)])
    assert differences["agreement"] > 0.6


@dataclass(frozen=True)
class Sized:
    """Chips of which only the side matters."""

    size: int


def test_a_graph_of_one_size_has_that_of_the_chips(task: SegmentationTask, classifier: tuple[ModelTask, Path]) -> None:
    transformer = SingleInput(classifier[0])
    assert takes_one_size(transformer) and not takes_one_size(task)
    sides = [usual_side(graph, chips) for graph in (transformer, task) for chips in (None, Sized(64), Sized(8))]
    assert sides == [256, 64, 16, 256, 256, 256]


@pytest.mark.parametrize(("task", "dates", "time"), [("regression", 1, "pool"), ("classification", 2, "difference")])
def test_the_graph_is_the_task(task: Task, dates: int, time: Time) -> None:
    model, batch = model_of(task, dates, time), dated(batch_of(3, 16, 16), dates)
    graph, image, found = SingleInput(model), batch.inputs["image"], model.predict(batch)
    with torch.no_grad():
        first = graph(image.values, image.valid)
    assert torch.equal(first, found.outputs["mean" if task == "regression" else "logits"])
    assert graph.valid_rule == ("each" if time == "difference" else "any")


def test_what_a_graph_cannot_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match="reads the days"):
        SingleInput(model_of("classification", 2, "gru"))
    with pytest.raises(ConfigError, match="inputs image, radar"):
        SingleInput(model_of("classification", inputs=("image", "radar")))


def test_files_that_do_not_belong_together(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(exported.read_bytes())
    with pytest.raises(InputError, match="copy both files"):
        OnnxPredictor(copy)
    record_path(copy).write_text(record_path(exported).read_text())
    OnnxPredictor(copy)
    copy.write_bytes(exported.read_bytes()[:-10])
    with pytest.raises(InputError, match="not the file"):
        OnnxPredictor(copy)
    content = json.loads(record_path(exported).read_text())
    record_path(copy).write_text(json.dumps(content | {"schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99"):
        OnnxPredictor(copy)
    record_path(copy).write_text(json.dumps({key: content[key] for key in content if key != "bands"}))
    with pytest.raises(InputError, match=r"copy\.onnx\.json"):
        OnnxPredictor(copy)


def test_a_file_that_no_runtime_reads(exported: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a graph")
    read_record(exported).write(broken)
    with pytest.raises(InputError, match="onnxruntime"):
        OnnxPredictor(broken)


def test_requests_that_make_no_sense(task: SegmentationTask, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.onnx"):
        write_onnx(task, tmp_path / "model.pt", side=32)
    with pytest.raises(ConfigError, match="side = 8"):
        write_onnx(task, tmp_path / "model.onnx", side=8)
    with pytest.raises(ConfigError, match="multiple of 8"):
        write_onnx(task, tmp_path / "model.onnx", side=36)
    batch = batch_of(1, 16, 16)
    image = batch.inputs["image"]
    two = Modality(
        image.values.expand(-1, 2, -1, -1, -1), image.valid.expand(-1, 2, -1, -1, -1), BANDS,
        image.time.expand(-1, 2), image.grid,
    )  # fmt: skip
    with pytest.raises(ContractError, match="1 dates"):
        OnnxPredictor(exported).predict(Batch({"image": two}, ids=batch.ids))


def test_costs_are_counted(task: SegmentationTask, exported: Path) -> None:
    convolution = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False)

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = convolution

        def forward(self, values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.layer(values[:, 0])
            return result

    assert count_macs(Plain(), (1, 1, 3, 16, 16)) == 3 * 5 * 9
    calls = []
    cost = measure("fake", lambda: calls.append(1), 1000, files=(exported,), rounds=3)
    assert len(calls) == 5
    assert cost.megabytes == pytest.approx(exported.stat().st_size / 1e6)
    assert cost.p50_ms <= cost.p90_ms
    with pytest.raises(ConfigError, match="rounds = 0"):
        measure("fake", lambda: None, 1, rounds=0)
