"""Order, restarts and sizes of batches."""

from __future__ import annotations

import pytest
import torch
from chip_scenes import chip_set
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.chips import Augment, ChipLoader, ChipSet
from swath.errors import ConfigError, InputError
from swath.types import Batch

AUGMENT = Augment(brightness=0.2, noise=0.1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ChipSet:
    return chip_set(tmp_path_factory.mktemp("loader") / "chips", (32, 56), 8)


def same(first: Batch, second: Batch) -> bool:
    a, b = first.inputs["image"], second.inputs["image"]
    return (
        first.ids == second.ids
        and torch.equal(a.values, b.values)
        and torch.equal(a.valid, b.valid)
        and torch.equal(first.targets["label"], second.targets["label"])
        and a.grid == b.grid
    )


@settings(deadline=None, max_examples=25)
@given(batch_size=st.integers(1, 28), drop_last=st.booleans(), seed=st.integers(0, 5), shuffle=st.booleans())
def test_every_chip_comes_once_per_epoch(
    made: ChipSet, batch_size: int, drop_last: bool, seed: int, shuffle: bool
) -> None:
    loader = ChipLoader(made, made.ids, batch_size=batch_size, seed=seed, drop_last=drop_last, shuffle=shuffle)
    batches = list(loader.epoch(1))
    ids = [name for batch in batches for name in batch.ids]
    assert len(batches) == len(loader)
    assert len(set(ids)) == len(ids)
    whole = 28 // batch_size * batch_size
    assert len(ids) == (whole if drop_last else 28)
    if not shuffle:
        assert ids == made.ids[: len(ids)]


@settings(deadline=None, max_examples=15)
@given(start=st.integers(0, 6), epoch=st.integers(0, 3))
def test_an_epoch_taken_up_midway_gives_the_same_batches(made: ChipSet, start: int, epoch: int) -> None:
    loader = ChipLoader(made, made.ids, batch_size=5, seed=0, augment=AUGMENT)
    whole = list(loader.epoch(epoch))
    rest = list(loader.epoch(epoch, start))
    assert len(rest) == max(0, len(whole) - start)
    assert all(same(a, b) for a, b in zip(whole[start:], rest, strict=True))


def test_order_follows_seed_and_epoch_but_not_the_order_of_the_ids(made: ChipSet) -> None:
    def ids(loader: ChipLoader, epoch: int) -> list[str]:
        return [name for batch in loader.epoch(epoch) for name in batch.ids]

    loader = ChipLoader(made, made.ids, batch_size=4, seed=0)
    assert ids(loader, 0) == ids(ChipLoader(made, made.ids[::-1], batch_size=4, seed=0), 0)
    assert ids(loader, 0) == [name for batch in loader for name in batch.ids]
    assert ids(loader, 0) != ids(loader, 1)
    assert ids(loader, 0) != ids(ChipLoader(made, made.ids, batch_size=4, seed=1), 0)


def test_augmentation_of_a_chip_does_not_depend_on_its_batch(made: ChipSet) -> None:
    def by_id(size: int) -> dict[str, torch.Tensor]:
        loader = ChipLoader(made, made.ids, batch_size=size, seed=0, augment=AUGMENT)
        return {
            name: values
            for batch in loader.epoch(2)
            for name, values in zip(batch.ids, batch.inputs["image"].values, strict=True)
        }

    small, large = by_id(3), by_id(11)
    assert all(torch.equal(small[name], large[name]) for name in made.ids)


def test_augmented_batches_pass_their_check(made: ChipSet) -> None:
    for batch in ChipLoader(made, made.ids, batch_size=10, seed=0, augment=AUGMENT):
        batch.check({"label": "segmentation"})


def test_bad_arguments_are_refused(made: ChipSet) -> None:
    with pytest.raises(InputError, match="No chips"):
        ChipLoader(made, [], batch_size=4, seed=0)
    with pytest.raises(InputError, match="given twice"):
        ChipLoader(made, made.ids[:1] * 2, batch_size=4, seed=0)
    with pytest.raises(InputError, match="no chip 'x'"):
        ChipLoader(made, ["x"], batch_size=4, seed=0)
    with pytest.raises(InputError, match="do not fill one batch"):
        ChipLoader(made, made.ids[:3], batch_size=4, seed=0, drop_last=True)
    with pytest.raises(ConfigError, match="batch_size = 0"):
        ChipLoader(made, made.ids, batch_size=0, seed=0)
