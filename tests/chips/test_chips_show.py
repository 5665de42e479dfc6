"""Contact sheets."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from chip_scenes import LEGEND, chip_set, label_map, scene
from matplotlib.image import imread

from swath import chips
from swath.chips import DropRules, contact_sheet
from swath.errors import ConfigError, InputError
from swath.sensors import Band


def test_a_contact_sheet_shows_labels_in_the_colours_of_the_legend(tmp_path: Path) -> None:
    cube = scene((16, 16), dtype="float32")
    cube["data"].values[:] = 1.0
    labels = np.ones((16, 16), np.int16)
    made = chips.cut(cube, labels, tmp_path / "a", size=16, legend=LEGEND)
    path = contact_sheet(made, tmp_path / "pictures" / "sheet.png")
    picture = imread(path)[..., :3]
    assert path.exists() and [item.name for item in path.parent.iterdir()] == ["sheet.png"]
    forest = np.array(LEGEND.entries[1].rgb) / 255
    assert (np.abs(picture - 0.65 * forest).max(axis=-1) < 0.01).sum() > 1000
    water = np.array(LEGEND.entries[0].rgb) / 255
    assert (np.abs(picture - water).max(axis=-1) < 0.01).sum() > 10  # the patch in the legend


def test_invalid_pixels_are_hatched(tmp_path: Path) -> None:
    sheets = []
    for name, share in (("whole", 1.0), ("half", 0.5), ("none", 0.0)):
        valid = np.ones((1, 16, 32), bool)
        valid[:, int(16 * share) :, :16] = False
        made = chips.cut(
            scene((16, 32), valid=valid),
            label_map((16, 32)),
            tmp_path / name,
            size=16,
            legend=LEGEND,
            drop=DropRules(0, 0),
        )
        sheets.append(imread(contact_sheet(made, tmp_path / f"{name}.png"))[..., :3])
    dark = [(np.abs(sheet - 0x44 / 255).max(axis=-1) < 0.1).sum() for sheet in sheets]
    assert dark[0] < dark[1] < dark[2]


@pytest.mark.parametrize("bands", [(Band("a"),), (Band("a"), Band("b"))])
def test_one_or_two_bands_become_grey(tmp_path: Path, bands: tuple[Band, ...]) -> None:
    made = chips.cut(scene((16, 16), bands=bands), label_map((16, 16)), tmp_path / "a", size=16, legend=LEGEND)
    assert imread(contact_sheet(made, tmp_path / "a.png")).shape[-1] in (3, 4)


def test_the_chips_drawn_are_always_the_same_and_can_be_named(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a")
    with patch.object(made, "batch", wraps=made.batch) as load:
        contact_sheet(made, tmp_path / "a.png", count=3)
        contact_sheet(made, tmp_path / "b.png", count=3)
        contact_sheet(made, tmp_path / "c.png", ids=[made.ids[7]])
    drawn = [call.args[0] for call in load.call_args_list]
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 3 and drawn[2] == [made.ids[7]]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_nothing_to_draw_is_refused_and_no_file_left(tmp_path: Path) -> None:
    made = chip_set(tmp_path / "a", (16, 16))
    with pytest.raises(ConfigError, match="count = 0"):
        contact_sheet(made, tmp_path / "a.png", count=0)
    with pytest.raises(InputError, match="No chip ids"):
        contact_sheet(made, tmp_path / "a.png", ids=[])
    assert not (tmp_path / "a.png").exists()
