import dask.array as da
import numpy as np
import pytest

from swath.cubes.quality import SCL_NAMES, clear, scheme_of
from swath.errors import ConfigError


def test_scene_classification() -> None:
    found = clear(np.arange(12, dtype=np.uint8), "SCL")
    assert [SCL_NAMES[value] for value in np.flatnonzero(found)] == [
        "dark area",
        "vegetation",
        "bare soil",
        "water",
        "unclassified",
        "snow or ice",
    ]


def test_fmask_bits() -> None:
    # Water (32), snow (16) and aerosol (192) are clear; cloud (2), beside one (4), shadow (8) and fill are not.
    numbers = np.array([0, 16, 32, 64, 192, 2, 4, 8, 2 | 32, 255], np.uint8)
    np.testing.assert_array_equal(clear(numbers, "Fmask"), [True] * 5 + [False] * 5)


def test_landsat_bits() -> None:
    # 21824 is clear land and 21952 clear water in Collection 2; 1 is fill, 22280 cloud, 23888 shadow.
    numbers = np.array([21824, 21952, 1, 22280, 23888], np.uint16)
    np.testing.assert_array_equal(clear(numbers, "QA_PIXEL"), [True, True, False, False, False])


def test_level_1c_bits() -> None:
    # Opaque cloud (1) and cirrus (2) are not clear; snow (4) is.
    np.testing.assert_array_equal(
        clear(np.array([0, 4, 1, 2, 6], np.uint8), "MSK_CLASSI"), [True, True, False, False, False]
    )


def test_dask_stays_lazy() -> None:
    found = clear(da.from_array(np.array([[4, 9]], np.uint8)), "SCL")
    assert isinstance(found, da.Array)
    np.testing.assert_array_equal(found.compute(), [[True, False]])


def test_unknown_scheme() -> None:
    with pytest.raises(ConfigError, match="nearest is Fmask"):
        clear(np.zeros(1, np.uint8), "fmsk")


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("SCL", "SCL"),
        ("T32UQD_SCL_20m.tif", "SCL"),
        ("Fmask", "Fmask"),
        ("qa_pixel", "QA_PIXEL"),
        ("MSK_CLASSI_B00.jp2", "MSK_CLASSI"),
        ("B04", None),
        ("scale", None),
    ],
)
def test_schemes_by_name(name: str, scheme: str | None) -> None:
    assert scheme_of(name) == scheme
