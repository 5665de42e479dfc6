"""Published files of Prithvi into networks: layouts, strictness, time and place, other bands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from prithvi_files import narrow_sizes, network_of, published, write

from swath import models, sensors, weights
from swath.errors import ConfigError, ContractError, InputError
from swath.models import prithvi
from swath.models.galileo import GalileoEncoder
from swath.models.presto import Presto
from swath.models.prithvi import Bands, load_autoencoder
from swath.models.prithvi_bands import kernel_for, split_frames, stacking_order
from swath.models.prithvi_keys import house_name, published_name
from swath.nn.masking import random_mask
from swath.nn.time_place import TimePlace
from swath.sensors import Band, BandSet

PLAIN, KNOWING = "prithvi_eo_v2_300", "prithvi_eo_v2_300_tl"
HLS = weights.entry(PLAIN).band_set


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prithvi, "PRITHVI", narrow_sizes())


def network(name: str = PLAIN) -> torch.nn.Module:
    return network_of(narrow_sizes()[name])


@pytest.mark.parametrize(
    ("flat", "prefix", "wrapped"),
    [(False, "", False), (True, "", False), (False, "model.", True), (False, "module.model.", False)],
)
def test_both_layouts_and_words_in_front_fill_the_same_network(
    tmp_path: Path, flat: bool, prefix: str, wrapped: bool
) -> None:
    own = network()
    path = write(tmp_path, published(own, flat=flat, prefix=prefix), wrapped=wrapped)
    said: list[str] = []
    found, report = load_autoencoder(PLAIN, path, say=said.append)
    assert all(torch.equal(value, own.state_dict()[name]) for name, value in found.state_dict().items())
    assert report.numbers[0] == report.numbers[1] and not report.new and not report.unused and not report.verified
    assert "checksum NOT verified" in said[-1] and "band B02" in said[-1] and "BLUE of the weights" in said[-1]


def test_the_first_version_in_its_flat_layout(tmp_path: Path) -> None:
    name = "prithvi_eo_v1_100"
    own = network(name)
    found, _ = load_autoencoder(name, write(tmp_path, published(own, flat=True)))
    assert all(torch.equal(value, own.state_dict()[key]) for key, value in found.state_dict().items())


def test_names_go_both_ways_and_positions_are_computed() -> None:
    own = network(KNOWING)
    for name in own.state_dict():
        assert house_name(published_name(name)) == name
        assert house_name(f"module.{published_name(name).split('.', 1)[1]}") == name
    assert house_name("decoder_pos_embed") is None and house_name("encoder.pos_embed") is None
    assert house_name("_timm_module.blocks.0.attn.qkv.weight") == "encoder.blocks.0.attention.qkv.weight"
    assert published_name("encoder.time.scale") == "encoder.temporal_embed_enc.scale"
    assert published_name("decoder.predict.bias") == "decoder.decoder_pred.bias"


def test_a_missing_or_a_strange_tensor_is_an_error_that_names_it(tmp_path: Path) -> None:
    tensors = published(network())
    less = {name: value for name, value in tensors.items() if name != "encoder.norm.weight"}
    with pytest.raises(InputError, match=r"norm\.weight is missing"):
        load_autoencoder(PLAIN, write(tmp_path, less))
    with pytest.raises(InputError, match="more has no place"):
        load_autoencoder(PLAIN, write(tmp_path, tensors | {"encoder.more": torch.zeros(1)}))
    _, report = load_autoencoder(PLAIN, write(tmp_path, less), strict=False)
    assert report.new == ("encoder.norm.weight",)


def test_less_than_nine_tenths_of_the_encoder_is_an_error_even_if_the_decoder_is_whole(tmp_path: Path) -> None:
    tensors = published(network())
    less = {name: value for name, value in tensors.items() if not name.startswith("encoder.blocks.0.mlp")}
    with pytest.raises(InputError, match=r"of its numbers would be filled.*at least 90%"):
        load_autoencoder(PLAIN, write(tmp_path, less), strict=False)


def test_an_encoder_alone_is_taken_when_told_and_its_decoder_starts_anew(tmp_path: Path) -> None:
    tensors = {name: value for name, value in published(network()).items() if name.startswith("encoder.")}
    with pytest.raises(InputError, match="is missing"):
        load_autoencoder(PLAIN, write(tmp_path, tensors))
    found, report = load_autoencoder(PLAIN, write(tmp_path, tensors), strict=False)
    assert all(name.startswith("decoder.") for name in report.new) and len(report.new) > 5
    assert "the file has none" in str(report)
    assert torch.equal(found.encoder.class_token, network().encoder.class_token)


def test_a_file_without_time_and_place_gives_its_own_output_in_a_network_that_knows_them(tmp_path: Path) -> None:
    own = network(PLAIN)
    found, report = load_autoencoder(KNOWING, write(tmp_path, published(own)))
    about = TimePlace.of(
        year=torch.tensor([[2020]]), day=torch.tensor([[9]]), latitude=torch.ones(1), longitude=torch.ones(1)
    )
    images, masked = torch.randn(1, 1, 6, 32, 32), random_mask(torch.rand(1, 4), 0.5)
    assert torch.equal(found(images, masked, about=about).predicted, own(images, masked).predicted)
    assert set(report.new) == {f"{part}.{item}.scale" for part in ("encoder", "decoder") for item in ("time", "place")}
    assert "without effect until trained" in str(report)
    found(images, masked, about=about).loss.mean().backward()
    assert float(found.encoder.time.scale.grad.abs()) > 0  # type: ignore[union-attr]


def test_a_file_with_time_and_place_says_that_they_are_lost_in_a_network_without(tmp_path: Path) -> None:
    found, report = load_autoencoder(PLAIN, write(tmp_path, published(network(KNOWING))))
    assert found.encoder.time is None and "that is lost" in str(report)
    assert "encoder.time.scale" in report.unused and "decoder.place.scale" in report.unused


def test_weights_of_another_family_are_refused_both_ways(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds the weights of 'presto'"):
        load_autoencoder(PLAIN, write(tmp_path, Presto().state_dict()))
    with pytest.raises(InputError, match="holds the weights of 'galileo_nano'"):
        models.load(PLAIN, write(tmp_path, GalileoEncoder().state_dict()))
    flat = published(network(), flat=True)
    single = flat | {"patch_embed.proj.weight": torch.zeros(32, 6, 16, 16)}
    with pytest.raises(InputError, match="4 axes: another family"):
        load_autoencoder(PLAIN, write(tmp_path, single))
    with pytest.raises(InputError, match="no embedding of patches"):
        load_autoencoder(PLAIN, write(tmp_path, {"layer.weight": torch.zeros(3)}))


def test_another_size_is_refused_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path, published(network("prithvi_eo_v2_600")))
    with pytest.raises(InputError, match=r"width 64 for patches of \(1, 14, 14\), the size of prithvi_eo_v2_600"):
        load_autoencoder(PLAIN, path)
    torch.save({"a": torch.zeros(1), "b": 7}, path)
    with pytest.raises(InputError, match="something else than tensors"):
        load_autoencoder(PLAIN, path)


def test_a_weight_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    tensors = published(network())
    with pytest.raises(InputError, match=r"'encoder.class_token' twice"):
        load_autoencoder(PLAIN, write(tmp_path, tensors | {"cls_token": torch.zeros(1, 1, 32)}))


def test_other_bands_are_copied_by_name_and_wavelength_and_the_table_tells(tmp_path: Path) -> None:
    own = network()
    path = write(tmp_path, published(own))
    landsat = sensors.load("landsat8_oli").bands.select(["B5", "B2", "B1"])
    found, report = load_autoencoder(PLAIN, path, bands=Bands(landsat, new="mean"))
    kernel, made = own.encoder.embed.weight, found.encoder.embed.weight
    assert torch.equal(made[:, 0], kernel[:, 3]) and torch.equal(made[:, 1], kernel[:, 0])
    assert torch.allclose(made[:, 2], kernel.mean(1))
    text = str(report)
    assert "B8A of the weights, by" in text and "new: mean of all published bands" in text
    assert (
        found.spec.bands == 3 and "decoder.predict.weight" in report.new and "decoder.predict.weight" in report.unused
    )
    image = torch.randn(1, 2, 3, 32, 32)
    assert found(image, random_mask(torch.rand(1, 8), 0.5)).images().shape == image.shape
    with pytest.raises(InputError, match=r"B1 \(442.96 nm; nearest is B02 at 492.4 nm\)"):
        load_autoencoder(PLAIN, path, bands=Bands(landsat))


def test_published_names_are_names_and_their_order_does_not_matter() -> None:
    kernel = torch.arange(6.0).reshape(1, 6, 1, 1, 1)
    wanted = BandSet.of("SWIR_2", "NIR_NARROW", "BLUE", "swir_1", "RED", "GREEN")
    made, rows = kernel_for(kernel, HLS, wanted)
    assert made.flatten().tolist() == [5, 3, 0, 4, 2, 1] and rows[0] == ("SWIR_2", "B12 of the weights, by alias")


def test_inflating_keeps_the_size_of_the_sum_over_bands() -> None:
    kernel = torch.randn(4, 6, 1, 2, 2)
    wanted = BandSet((*HLS.bands, Band("B08", wavelength_nm=740.5, width_nm=15, kind="reflectance")))
    plain, _ = kernel_for(kernel, HLS, wanted, new="mean")
    inflated, _ = kernel_for(kernel, HLS, wanted, new="mean", inflate=True)
    assert torch.allclose(inflated.sum(1), kernel.sum(1), atol=1e-5)
    assert torch.allclose(plain.sum(1), kernel.sum(1) * 7 / 6, atol=1e-5)
    zeros, rows = kernel_for(kernel, HLS, wanted, new="zero")
    assert bool((zeros[:, 6] == 0).all()) and rows[6] == ("B08", "new: zeros")


def test_bands_that_nothing_serves_are_refused_with_what_was_near() -> None:
    kernel = torch.zeros(4, 6, 1, 2, 2)
    with pytest.raises(InputError, match=r"VV \(nearest names"):
        kernel_for(kernel, HLS, sensors.load("sentinel1_grd").bands.select(["VV", "VH"]), new="mean")
    with pytest.raises(ContractError, match="has 5 bands"):
        kernel_for(kernel[:, :5], HLS, HLS)
    with pytest.raises(ConfigError, match="'new' is 'random'"):
        kernel_for(kernel, HLS, HLS, new="random")  # type: ignore[arg-type]


def test_a_stack_of_dates_and_bands_is_cut_in_the_order_that_is_said() -> None:
    # The number of a channel tells date and band: 10 * date + band.
    numbers = torch.tensor([10.0 * date + band for date in range(3) for band in range(6)])
    by_date = numbers.reshape(1, 18, 1, 1)
    by_band = numbers.reshape(3, 6).T.reshape(1, 18, 1, 1)
    for stacked, stacking in ((by_date, "frame_major"), (by_band, "band_major")):
        found = split_frames(stacked, 3, stacking)  # type: ignore[arg-type]
        assert found.shape == (1, 3, 6, 1, 1) and torch.equal(found.flatten(), numbers)
    assert not torch.equal(split_frames(by_date, 3, "band_major").flatten(), numbers)
    names = ("BLUE", "GREEN")
    assert stacking_order(2, names, "frame_major")[1] == (2, 1, "GREEN")
    assert stacking_order(2, names, "band_major")[1] == (2, 2, "BLUE")
    with pytest.raises(ConfigError, match="stacking is 'auto'"):
        split_frames(by_date, 3, "auto")  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="for 4 dates"):
        split_frames(by_date, 4, "frame_major")


def test_taps_and_border_are_chosen_and_what_the_weights_fix_is_not(tmp_path: Path) -> None:
    path, size = write(tmp_path, published(network())), narrow_sizes()[PLAIN]
    found, _ = load_autoencoder(PLAIN, path, spec=replace(size, taps=(0, 1), border="pad"))
    maps = found.encoder(torch.randn(1, 3, 6, 40, 32)).maps
    assert len(maps) == 2 and maps[0].shape == (1, 3, 32, 3, 2)
    with pytest.raises(ConfigError, match=r"'heads' is 4.*2, with which the weights"):
        load_autoencoder(PLAIN, path, spec=replace(size, heads=4))
    with pytest.raises(ConfigError, match="'epsilon'"):
        load_autoencoder(PLAIN, path, spec=replace(size, epsilon=1e-6))
    with pytest.raises(InputError, match="'presto' is of the family 'presto'"):
        load_autoencoder("presto", path)
