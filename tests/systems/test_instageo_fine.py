"""InstaGeo with fine patches: what its students are made of, and floods to tune on that judge nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swath.judge import load_registration
from swath.learn.options import TrainOptions, read_options
from swath.nn.build import BackboneOptions, backbone
from swath.systems.eo import _instageo_archive as archives
from swath.systems.eo import instageo, instageo_fine
from swath.systems.eo._instageo_archive import ArchiveOptions
from swath.systems.eo._instageo_models import Class
from swath.systems.eo._instageo_sizes import Networks, SmallUNet

ROOT = Path(__file__).parents[2]
LEARNERS = {
    "teacher", "student", "student_1", "untaught", "small", "small_untaught", "narrow", "teacher_mixed", "mistaught",
}  # fmt: skip


class _Sized:
    size = 64


def lessons(networks: Networks) -> dict[str, tuple[str, TrainOptions]]:
    """Teacher and training options of everybody."""
    found = Class(networks, _Sized(), None, None, Path("seed"), 0).lessons()  # type: ignore[arg-type]
    read = {}
    for name, lesson in found.items():
        teacher = {"teacher": lesson.teacher} if lesson.teacher else {}
        read[name] = (lesson.teacher, read_options({**lesson.content, **teacher}))
    return read


def test_small_student_of_convolutions_learns_in_its_own_schedule() -> None:
    seen = lessons(instageo_fine.Config().networks)
    assert set(seen) == LEARNERS
    (teacher, small), (nobody, alone) = seen["small"], seen["small_untaught"]
    assert small.network == alone.network
    assert small.fit == alone.fit
    assert small.fit.epochs == 12 and small.fit.learning_rate == 2e-3
    assert (teacher, small.distil.weight, nobody) == ("teacher", 4.0, "")
    assert seen["student"][1].fit.epochs == 4 and seen["student"][1].distil.weight == 1.0
    assert seen["teacher"][1].network.options["patch"] == 4


def test_narrow_student_has_one_block_and_the_patches_of_its_teacher() -> None:
    teacher, narrow = lessons(instageo_fine.Config().networks)["narrow"]
    options = narrow.network.options
    assert (options["patch"], options["depth"], options["width"], teacher) == (4, 1, 60, "teacher")


def test_only_the_mistaught_listens_to_the_teacher_with_the_labels_of_others() -> None:
    found = Class(Networks(), _Sized(), None, None, Path("seed"), 0).lessons()  # type: ignore[arg-type]
    assert [name for name, lesson in found.items() if lesson.mixed] == ["teacher_mixed"]
    assert [name for name, lesson in found.items() if lesson.teacher == "teacher_mixed"] == ["mistaught"]


def test_with_patches_of_eight_there_are_more_students() -> None:
    seen = lessons(instageo.Config().networks)
    assert set(seen) == LEARNERS - {"narrow"} | {"copied", "student_4"}
    assert seen["small"][1].network.options["width"] == 48 and seen["small"][1].fit.epochs == 4
    assert seen["small"][1].distil.weight == 1.0 and seen["small_untaught"][0] == ""
    assert seen["copied"][1].distil.weight < 1e-6 and seen["copied"][0] == "teacher"


def test_small_student_normalises_every_pixel_by_itself() -> None:
    import torch

    options = SmallUNet().network()["options"]
    network = backbone("unet", 2, BackboneOptions(**options)).eval()
    image = torch.randn(1, 2, 64, 64)
    whole = network(image).maps[0]
    changed = image.clone()
    changed[..., 60:, 60:] = 100.0  # far off
    assert torch.equal(network(changed).maps[0][..., :8, :8], whole[..., :8, :8])


def test_floods_to_tune_on_are_other_floods_in_another_archive() -> None:
    assert ArchiveOptions().floods == archives.FLOODS
    tuning = ArchiveOptions(tuning=True)
    assert tuning.floods == archives.TUNING_FLOODS and len(tuning.floods) == 6
    assert not {flood.region for flood in tuning.floods} & {flood.region for flood in archives.FLOODS}
    assert tuning.hash() != ArchiveOptions().hash()
    assert ArchiveOptions(tiles=2, tuning=True).floods == archives.TUNING_FLOODS[:2]


def test_registered_contenders_are_measured() -> None:
    claims = load_registration(ROOT / "claims" / "instageo_fine.toml")
    names = LEARNERS | {"forest", "small_int8", "narrow_int8", "limit", "teacher_less_a_point"}
    assert {claim.contender for claim in claims} | {claim.baseline for claim in claims} <= names
    assert all(len(claim.seeds) == 10 and claim.data_hash == "ab606ee3d4ad" for claim in claims)


@pytest.mark.parametrize("wrong", [{"width": 1}, {"halvings": 0}, {"weight": 0.0}, {"depth": 3}])
def test_small_student_of_no_size_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SmallUNet(**wrong)
