"""Weights into networks: strictness, reports, foreign and hostile files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from swath.errors import InputError
from swath.models.galileo import GalileoEncoder
from swath.models.presto import Presto
from swath.weights import LoadReport, fill, read_tensors


class Small(nn.Module):
    """100 numbers in one parameter, 5 in another, 4 in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.big = nn.Parameter(torch.zeros(10, 10))
        self.small = nn.Parameter(torch.zeros(5))
        self.register_buffer("counts", torch.zeros(4, dtype=torch.int64))


def whole() -> dict[str, Tensor]:
    return {"big": torch.ones(10, 10), "small": torch.ones(5), "counts": torch.ones(4, dtype=torch.int64)}


def put(network: nn.Module, tensors: dict[str, Tensor], **options: Any) -> LoadReport:
    return fill(network, tensors, name="small", source="small.pt", verified=True, **options)


def test_a_whole_file_fills_the_network_and_the_report_says_so() -> None:
    network = Small()
    report = put(network, whole(), bands=[("B02", "B2"), ("B03", "new: mean of the others")])
    assert bool((network.big == 1).all()) and bool((network.counts == 1).all())
    assert (report.used, report.new, report.unused, report.numbers) == (("big", "small", "counts"), (), (), (109, 109))
    text = str(report)
    assert "checksum agrees" in text and "band B03" in text and "new: mean of the others" in text
    assert "3 (109 of 109 numbers)" in text


def test_half_precision_is_widened() -> None:
    network = Small()
    put(network, whole() | {"big": torch.full((10, 10), 0.5, dtype=torch.float16)})
    assert network.big.dtype == torch.float32 and bool((network.big == 0.5).all())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"small": None}, "small is missing"),
        ({"more": torch.zeros(1)}, "more has no place"),
        ({"small": torch.zeros(6)}, r"small has the shape \(6,\) instead of \(5,\)"),
    ],
)
def test_strict_refuses_and_otherwise_the_report_tells(change: dict[str, Tensor | None], reason: str) -> None:
    tensors = {name: value for name, value in (whole() | change).items() if value is not None}
    with pytest.raises(InputError, match=reason):
        put(Small(), tensors)
    network = Small()
    report = put(network, tensors, strict=False)
    assert bool((network.big == 1).all())
    assert report.unused == tuple(name for name in change if change[name] is not None)
    assert report.new == (("small",) if "small" in change else ())


def test_too_little_is_an_error_even_when_not_strict() -> None:
    with pytest.raises(InputError, match=r"8% of its numbers.*at least 90%"):
        put(Small(), {"small": torch.ones(5), "counts": torch.ones(4)}, strict=False)


def test_a_parameter_of_another_shape_is_resized_where_a_way_is_given() -> None:
    network = Small()
    report = put(
        network, whole() | {"small": torch.ones(3)}, resize={"small": lambda stored, shape: torch.full(shape, 7.0)}
    )
    assert bool((network.small == 7).all())
    assert report.resized == (("small", (3,), (5,)),)
    assert "resized small" in str(report)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="NaN or infinite numbers in small"):
        put(Small(), whole() | {"small": torch.full((5,), value)}, strict=False)


@pytest.mark.parametrize("strict", [True, False])
def test_weights_of_another_family_are_named(strict: bool) -> None:
    galileo, presto = GalileoEncoder(), Presto()
    with pytest.raises(InputError, match=r"x\.pt' holds the weights of 'galileo_nano'"):
        fill(presto, galileo.state_dict(), name="presto", source="x.pt", verified=False, strict=strict)
    with pytest.raises(InputError, match=r"x\.pt' holds the weights of 'presto'"):
        fill(galileo, presto.state_dict(), name="galileo_nano", source="x.pt", verified=False, strict=strict)


@pytest.mark.parametrize("wrapping", [None, "state_dict", "model"])
def test_torch_files_are_read_with_or_without_a_wrapping(tmp_path: Path, wrapping: str | None) -> None:
    tensors = {"a": torch.arange(3.0)}
    torch.save(tensors if wrapping is None else {wrapping: tensors, "epoch": 3}, tmp_path / "w.pt")
    assert torch.equal(read_tensors(tmp_path / "w.pt")["a"], tensors["a"])


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file({"a": torch.arange(3.0)}, tmp_path / "w.safetensors")
    assert torch.equal(read_tensors(tmp_path / "w.safetensors")["a"], torch.arange(3.0))


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.folder),))


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x80\x02}q\x00.", bytes(200)])
def test_damaged_files_are_sentences(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="weights alone"):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"a": 1.0}, {}, nn.Linear(1, 1)])
def test_anything_but_tensors_by_name_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InputError, match="weights alone"):
        read_tensors(tmp_path / "w.pt")


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"a": Evil(tmp_path / "made")}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="weights alone"):
        read_tensors(tmp_path / "w.pt")
    assert not (tmp_path / "made").exists()


def test_a_tensor_that_repeats_one_number_without_end_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(10**8)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="declares 100000000 numbers for 'a' and stores fewer"):
        read_tensors(tmp_path / "w.pt")


def test_more_numbers_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWATH_MAX_PARAMETERS", "10")
    torch.save({"a": torch.zeros(11)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="declares 11 parameters"):
        read_tensors(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["absent.pt", "."])
def test_no_file_is_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"no file|is a folder"):
        read_tensors(tmp_path / name)
