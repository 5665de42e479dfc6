"""Batches of chips in an order that depends on the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from swath import rng
from swath.chips.augment import Augment
from swath.chips.samples import Samples
from swath.errors import ConfigError, InputError
from swath.types import Batch


class ChipLoader:
    """Iterates over batches.

    The same seed and epoch give the same batches, bit for bit, whatever the order of ``ids`` (when shuffled), the batch
    at which an epoch is taken up again, and whatever was drawn before.

    Args:
        chipset: the chips, of one modality or several.
        ids: chips to use.
        batch_size: chips per batch.
        seed: seed of order and augmentation.
        augment: random changes per chip and epoch; None for none.
        shuffle: a new order every epoch; otherwise the order of ``ids``.
        drop_last: whether to leave out a last batch that is not full.

    Raises:
        InputError: no ids, ids given twice, unknown ids, or ``drop_last`` leaves no batch.
        ConfigError: ``batch_size`` is below 1.
    """

    def __init__(
        self,
        chipset: Samples,
        ids: Sequence[str],
        *,
        batch_size: int,
        seed: int,
        augment: Augment | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size = {batch_size}", expected="a whole number of at least 1", remedy="change it")
        if len(ids) == 0:
            raise InputError(
                f"No chips of {chipset.folder} were chosen", expected="at least one id", remedy="check the split"
            )
        if len(set(ids)) != len(ids):
            twice = next(name for name in ids if list(ids).count(name) > 1)
            raise InputError(f"The chip '{twice}' is given twice", expected="every id once", remedy="drop one")
        chipset.require(ids)
        self.chipset = chipset
        self.ids = tuple(sorted(ids)) if shuffle else tuple(ids)
        self.batch_size = batch_size
        self.seed = seed
        self.augment = augment
        self.shuffle = shuffle
        self.drop_last = drop_last
        if len(self) == 0:
            raise InputError(
                f"{len(ids)} chips do not fill one batch of {batch_size}",
                expected="at least one full batch with drop_last",
                remedy="take smaller batches, or drop_last=False",
            )

    def __len__(self) -> int:
        """Batches per epoch."""
        whole, rest = divmod(len(self.ids), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            epoch: number of the epoch, from 0.
            start: first batch wanted, to take up an epoch where it stopped.
        """
        order = np.arange(len(self.ids))
        if self.shuffle:
            order = rng.generator(self.seed, "order", epoch).permutation(len(self.ids))
        for position in range(start, len(self)):
            chosen = order[position * self.batch_size : (position + 1) * self.batch_size]
            batch = self.chipset.batch([self.ids[index] for index in chosen])
            yield batch if self.augment is None else self.augment(batch, seed=self.seed, epoch=epoch)
