"""Published files of SatMAE++ into encoders, and from a batch in physical units to one embedding per patch."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_batches import REPORT, batch_of, made_up, modality, months
from torch import Tensor

from swath import models, rng, sensors, weights
from swath.errors import ConfigError, InputError
from swath.models import Encoder, SatMaeOptions, SatMaePatches, satmaepp
from swath.nn.grouped import GroupedAutoencoder, GroupedEncoder
from swath.sensors import BandSet
from swath.types import Batch
from swath.weights.catalogue import family_of

GROUPED, COLOUR = satmaepp.NAMES
S2 = sensors.load("sentinel2_l1c").bands
TEN = S2.select(satmaepp.BANDS)
RGB = sensors.load("vhr_rgb").bands
REFERENCE = json.loads((Path(__file__).parent / "data" / "satmaepp_reference.json").read_text())
_SPECS = satmaepp.published_specs


def narrow_specs(name: str) -> Any:
    """The published sizes with few blocks of small width."""
    encoder, decoder = _SPECS(name)
    part = 0 if name == COLOUR else None
    return (
        replace(encoder, width=32, depth=2, heads=2, taps=(), group_width=part),
        replace(decoder, width=16, depth=1, heads=2, group_width=part),
    )


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(satmaepp, "published_specs", narrow_specs)


def made(name: str) -> GroupedAutoencoder:
    network = GroupedAutoencoder(*narrow_specs(name)).eval()
    with torch.no_grad():
        for key, value in network.named_parameters():
            value.copy_(0.2 * torch.randn(value.shape, generator=rng.torch_generator(0, "satmaepp", key)))
            if "norm" in key and key.endswith("weight"):
                value.add_(1.0)
    return network


def published_state(name: str, network: GroupedAutoencoder) -> dict[str, Tensor]:
    """Its weights by their published names."""
    known = REFERENCE["rgb" if name == COLOUR else "independent"]["names"]
    extra = [n.replace(".1.", ".2.") for n in known if n.startswith(("patch_embed.1.", "decoder_pred.1."))]
    tables = ("pos_embed", "channel_embed", "decoder_pos_embed", "decoder_channel_embed")
    names = [n for n in (*known, *extra) if n not in tables]
    return {
        n: network.state_dict()[next(iter(satmaepp.house_names({n: torch.empty(0)}, network)))].clone() for n in names
    }


def write(folder: Path, state: dict[str, Tensor]) -> Path:
    """A file as published: the options of the run lie beside the weights."""
    path = folder / "weights.pth"
    torch.save({"model": state, "epoch": 49, "args": Namespace(mask_ratio=0.75), "scaler": {}}, path)
    return path


def encoder(name: str = GROUPED, options: SatMaeOptions | None = None) -> SatMaePatches:
    return SatMaePatches(weights.entry(name), made(name).encoder, REPORT, options)


def batch(bands: BandSet = TEN, *, steps: int = 1, side: tuple[int, int] = (16, 24), valid: Any = None) -> Batch:
    values = made_up(bands, (1, steps, *side))
    if bands[0].kind == "colour":
        values = rng.generator(0, "colours").random(values.shape)
    return batch_of(image=modality(bands, values, months(steps), valid))


def standardised(given: Batch, name: str = GROUPED) -> Tensor:
    """By the publication: two standard deviations on each side of the mean in 8 bits."""
    entry, values = weights.entry(name), given.inputs["image"].values.double()
    if name == COLOUR:
        scaling = torch.tensor([band.scaling for band in entry.bands], dtype=torch.float64)
        return ((values + scaling[:, 1, None, None]) / scaling[:, 2, None, None]).float()
    mean = torch.tensor([band.mean for band in entry.bands], dtype=torch.float64)[:, None, None]
    std = torch.tensor([band.std for band in entry.bands], dtype=torch.float64)[:, None, None]
    stored = (values * 10000 - (mean - 2 * std)) / (4 * std) * 255
    return (stored.clamp(0, 255).floor() / 255).float()


@pytest.mark.parametrize("name", satmaepp.NAMES)
def test_published_files_fill_the_encoder(name: str, tmp_path: Path) -> None:
    network, said = made(name), []
    found = models.load(name, write(tmp_path, published_state(name, network)), say=said.append)
    assert isinstance(found, SatMaePatches) and isinstance(found, Encoder)
    stored = network.encoder.state_dict()
    assert all(value.equal(stored[key]) for key, value in found.network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in found.network.parameters())
    unused = found.report.unused
    assert "blank" in unused and "head.expand.weight" in unused and "predict.0.bias" in unused
    assert not found.report.new and "checksum NOT verified" in said[-1]
    whole, report = satmaepp.load_autoencoder(name, tmp_path / "weights.pth")
    assert all(value.equal(network.state_dict()[key]) for key, value in whole.state_dict().items())
    assert report.numbers[0] == report.numbers[1] and not report.unused


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state = published_state(GROUPED, made(GROUPED))
    less = {key: value for key, value in state.items() if key != "norm.weight"}
    with pytest.raises(InputError, match=r"norm\.weight is missing"):
        models.load(GROUPED, write(tmp_path, less))
    with pytest.raises(InputError, match="head_of_another has no place"):
        models.load(GROUPED, write(tmp_path, state | {"head_of_another": torch.zeros(1)}))
    with pytest.raises(InputError, match=f"weights of '{COLOUR}'"):
        models.load(GROUPED, write(tmp_path, published_state(COLOUR, made(COLOUR))))
    moved = state | {"channel_embed": torch.zeros(1, 3, 8)}
    with pytest.raises(InputError, match="stored positions 'channel_embed'"):
        models.load(GROUPED, write(tmp_path, moved))


def test_marks_tell_both_files_from_those_of_other_families() -> None:
    for key, name in (("rgb", COLOUR), ("independent", GROUPED)):
        extra = {"patch_embed.2.proj.weight", "decoder_pred.2.weight"} if key == "independent" else set()
        deep = {f"blocks.{number}.norm1.weight" for number in range(24)}
        deep |= {f"decoder_blocks.{number}.norm1.weight" for number in range(8)}
        assert family_of(set(REFERENCE[key]["names"]) | extra | deep) == name


@pytest.mark.parametrize("name", satmaepp.NAMES)
def test_embeddings_are_the_tokens_of_the_published_input(name: str) -> None:
    bands = TEN if name == GROUPED else satmaepp.COLOURS
    side = (16, 24) if name == GROUPED else (32, 48)
    ours, given = encoder(name), batch(bands, side=side)
    found = ours.encode(given)
    patch = ours.output_stride
    square = torch.nn.functional.pad(standardised(given, name)[:, 0], (0, 0, 0, patch))
    present = torch.ones(1, len(ours.network.spec.groups), 3, 3, dtype=torch.bool)
    present[:, :, 2] = False  # below the sample
    with torch.inference_mode():
        wanted = ours.network(square, present).maps[-1][..., :2, :]
    assert found.values.shape == (1, 32, 2, 3) and found.stride == patch and bool(found.valid.all())
    torch.testing.assert_close(found.values, wanted, atol=1e-5, rtol=1e-4)
    assert torch.equal(ours.predict(given).outputs["embedding"], found.values)


@pytest.mark.parametrize("name", satmaepp.NAMES)
def test_the_order_of_bands_does_not_matter(name: str) -> None:
    bands = TEN if name == GROUPED else RGB
    ours, given = encoder(name), batch(bands, side=(32, 32))
    image = given.inputs["image"]
    order = list(reversed(range(len(bands))))
    turned = replace(image, values=image.values[:, :, order], valid=image.valid[:, :, order],
                     bands=BandSet(tuple(bands[number] for number in order)))  # fmt: skip
    other = ours.encode(replace(given, inputs={"image": turned}))
    assert torch.equal(other.values, ours.encode(given).values)


def test_dates_are_seen_one_by_one_and_averaged() -> None:
    ours, given = encoder(), batch(steps=2, side=(16, 16))
    image = given.inputs["image"]
    image.valid[:, 1, :, :, 8:] = False  # the right half is not seen at the second date
    apart = [
        ours.encode(
            replace(given, inputs={"image": replace(image, values=image.values[:, [t]], valid=image.valid[:, [t]],
                                                    time=image.time[:, [t]])})
        )
        for t in (0, 1)
    ]  # fmt: skip
    assert apart[1].valid.tolist() == [[[True, False], [True, False]]]
    wanted = torch.where(apart[1].valid, (apart[0].values + apart[1].values) / 2, apart[0].values)
    torch.testing.assert_close(ours.encode(given).values, wanted, atol=1e-5, rtol=1e-4)


def test_what_is_invalid_does_not_matter_and_nothing_seen_is_no_embedding() -> None:
    ours, valid = encoder(), np.ones((1, 1, 10, 16, 24), bool)
    valid[..., :8, :8] = False
    valid[..., 12, 20] = False
    given = batch(valid=valid)
    image = given.inputs["image"]
    wild = replace(image, values=torch.where(image.valid, image.values, 0.9))
    found, other = ours.encode(given), ours.encode(replace(given, inputs={"image": wild}))
    assert torch.equal(found.values, other.values)
    assert found.valid[0].tolist() == [[False, True, True], [True, True, True]] and not found.values[0, :, 0, 0].any()


def test_missing_bands_are_refused_or_their_group_is_left_out() -> None:
    nine = TEN.select([name for name in TEN.names if name != "B12"])
    given = batch(TEN, side=(16, 16))
    image = given.inputs["image"]
    less = replace(given, inputs={"image": replace(image, values=image.values[:, :, :9], valid=image.valid[:, :, :9],
                                                   bands=nine)})  # fmt: skip
    with pytest.raises(InputError, match="that are not there: B12"):
        encoder().encode(less)
    with pytest.raises(InputError, match="B12"):
        encoder().using(nine)
    lenient = encoder(options=SatMaeOptions(missing="group"))
    found = lenient.encode(less)
    present = torch.tensor([True, True, False])[None, :, None, None].expand(1, 3, 2, 2)
    with torch.inference_mode():
        wanted = lenient.network(standardised(given)[:, 0], present).maps[-1]
    torch.testing.assert_close(found.values, wanted, atol=1e-5, rtol=1e-4)
    assert lenient.using(nine).version != lenient.version
    with pytest.raises(InputError, match="not there"):
        lenient.using(TEN.select(["B02", "B05", "B11"]))  # no group is whole
    assert encoder().using(S2).inputs["image"].names == TEN.names  # of thirteen bands ten are taken, by name


def test_options() -> None:
    with pytest.raises(ConfigError, match="Squares of 4 pixels"):
        encoder(options=SatMaeOptions(image=4))
    assert encoder().image == 96 and encoder(COLOUR).image == 224
    small = encoder().with_options(SatMaeOptions(image=8))
    assert small.version != encoder().version and encoder().version == encoder().version
    given = batch(side=(16, 24))
    assert not torch.allclose(small.encode(given).values, encoder().encode(given).values)


def test_shapes_of_the_published_size() -> None:
    with torch.device("meta"):
        network = GroupedEncoder(_SPECS(GROUPED)[0])
        found = network(torch.zeros(2, 10, 96, 96))
    assert found.maps[0].shape == (2, 1024, 12, 12) and found.tokens is not None
    assert found.tokens.shape == (2, 432, 1024)
