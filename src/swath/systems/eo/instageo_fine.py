"""InstaGeo with a teacher of fine patches and a small student of convolutions: five times as fast, and as good?

The chain, data, splits and judges are those of ``instageo``. There the teacher, with patches of 8 pixels, was not told
apart from a random forest that knows the surroundings of a pixel, and its small student as a file was three times as
fast. Here the teacher has patches of 4, so four times as many tokens, and the small student is a U-Net at full
resolution, each pixel normalised by itself: convolutions need no patches to be sharp. ``narrow`` keeps the teacher's
patches and has one block of half the width. InstaGeo's own students, with the first of their teacher's blocks, stand
beside them.

Sizes and schedules of both were chosen on other floods of the simulated Earth than those that judge
(``_instageo_archive.TUNING_FLOODS``).
"""

from __future__ import annotations

from pathlib import Path

from swath.systems.eo import _runs, instageo
from swath.systems.eo._instageo_sizes import Narrow, Networks, SmallUNet
from swath.types import DataKind, Report

SLUG = "instageo_fine"
TITLE = "InstaGeo: a teacher of fine patches, a small student of convolutions"
TIER = "reproduced"
DATA: DataKind = "simulated"


class Config(instageo.Config):
    """Options; the defaults are those of the registered claims. See ``instageo.Config``."""

    networks: Networks = Networks(patch=4, depths=(1,), small=SmallUNet(), narrow=Narrow(), copied=False)

    @classmethod
    def quick(cls) -> Config:
        """A smoke of seconds on made-up scenes; its scores mean nothing."""
        small = instageo.Config.quick()
        changed = {
            "patch": 4,
            "small": SmallUNet(width=2, halvings=1, epochs=1),
            "narrow": Narrow(width=6, head_width=4, epochs=1),
            "copied": False,
        }
        return cls(
            archive=small.archive, workers=small.workers, rounds=small.rounds,
            networks=small.networks.model_copy(update=changed),
        )  # fmt: skip


def run(config: Config, out: Path, seed: int = 0) -> Report:
    """One seed: the chain from archive to map, and the report.

    Args:
        config: see ``Config``.
        out: folder of the run; finished networks in it are taken up again.
        seed: of the places of the test, weights and orders, 0 to 9.

    Raises:
        InputError: scenes or chips could not be made.
        MissingError: the extra ``export`` is not installed.
    """
    return _runs.one_seed(instageo.parts(SLUG, TITLE, Config), config, out, seed)


def evidence(out: Path) -> Report:
    """All registered seeds, resumable per seed; writes the evidence beside the registration.

    Raises:
        ClaimError: the registration is not committed, or ``out`` holds seeds measured under another one.
        InputError: scenes or chips could not be made.
        MissingError: the extra ``export`` is not installed.
    """
    return _runs.all_seeds(instageo.parts(SLUG, TITLE, Config), out)
