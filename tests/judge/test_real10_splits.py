"""Splits of real10: nothing of what belongs together, or touches, lies on both sides."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import rng
from swath.errors import ContractError, InputError, MissingError
from swath.judge.real10 import TASKS, Samples, Task, load
from swath.judge.real10.samples import Inputs, Target, class_strata, fifths, tile_places, tiles
from swath.judge.real10.splits import components, few, group_split, strip_groups, strip_split
from swath.judge.real10.suite import SEEDS, frozen_digests, root_of
from swath.sensors import BandSet
from swath.types import IGNORE, Split

TASK = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Samples]]:
    """Folder and samples of every task's miniature."""
    folder = tmp_path_factory.mktemp("miniatures")
    found = {}
    for task in TASKS:
        root = task.write_fake(folder / task.name, 0)
        found[task.name] = root, load(task, root, frozen=False)
    return found


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The directory $SWATH_DATA with one folder a data set."""
    if not os.environ.get("SWATH_DATA"):
        pytest.skip("SWATH_DATA is not set; it names the directory with the real data sets")
    return Path(os.environ["SWATH_DATA"])


def places_of(samples: Samples, split: Split, part: str) -> np.ndarray:
    number = {name: place for place, name in enumerate(samples.ids)}
    return np.array([number[name] for name in split.ids(part)])


def check_no_leak(samples: Samples, split: Split) -> None:
    """Groups apart, no tile beside a tested one, every class on both sides."""
    train, test = (places_of(samples, split, part) for part in ("train", "test"))
    assert len(train) and len(test)
    groups = np.array(samples.groups)
    assert not set(groups[train]) & set(groups[test])
    if samples.place is not None:
        apart = np.abs(samples.place[train][:, None] - samples.place[test][None]).max(axis=2)
        assert apart.min() >= 2
    if samples.target.classes:
        exists = samples.strata.any(axis=0)
        for part in (train, test):
            assert samples.strata[part].any(axis=0)[exists].all()


@TASK
def test_no_group_and_no_neighbour_is_on_both_sides(task: Task, miniatures: dict[str, tuple[Path, Samples]]) -> None:
    _, samples = miniatures[task.name]
    for seed in SEEDS:
        split = task.split(samples, seed)
        check_no_leak(samples, split)
        learned = task.few(samples, split, seed)
        assert set(learned) <= set(split.ids("train"))
        assert 0 < len(learned) <= task.per_kind * samples.strata.shape[1]
    hashes = {task.split(samples, seed).hash for seed in SEEDS}
    assert len(hashes) == 1 if task.rule == "given" else len(hashes) > 1


@TASK
def test_splits_of_the_real_data_are_the_frozen_ones(task: Task, real_data: Path) -> None:
    try:
        root = root_of(task, real_data)
    except MissingError as error:
        assert task.folder is None, error  # everything else lies in the folder that is promised
        pytest.skip("the planet has not been made on this machine")
    samples = load(task, root)
    check_no_leak(samples, task.split(samples, 0))


def test_polygons_that_share_a_tile_stay_together(miniatures: dict[str, tuple[Path, Samples]]) -> None:
    """The tiles of one polygon are in one group, whichever tiles it reaches into."""
    from swath.sources.published import rstoolbox

    for which in ("sen2", "lsat"):
        root, samples = miniatures["polygons_s2" if which == "sen2" else "polygons_landsat"]
        place = next(each for each in rstoolbox.open(root) if each.id == which)
        numbers = place.polygon_numbers().values
        home: dict[int, set[str]] = {}
        for (row, column), group in zip(samples.place.tolist(), samples.groups, strict=True):
            window = numbers[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]  # the side for 40 x 48 pixels
            for number in np.unique(window[window >= 0]).tolist():
                home.setdefault(number, set()).add(group)
        assert len(home) == 8 and all(len(groups) == 1 for groups in home.values())


@TASK
def test_other_data_are_refused(task: Task, miniatures: dict[str, tuple[Path, Samples]]) -> None:
    root, _ = miniatures[task.name]
    with pytest.raises(InputError, match=f"The data hash of the task {task.name} .* What to do: download"):
        load(task, root)


def test_another_split_of_the_right_data_is_refused(
    miniatures: dict[str, tuple[Path, Samples]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from swath.judge.real10 import suite

    task = next(each for each in TASKS if each.name == "vegetation")
    root, _ = miniatures[task.name]
    digests = task.digests(root)
    monkeypatch.setattr(suite, "frozen_digests", lambda: {task.name: digests})
    load(task, root)
    with pytest.raises(InputError, match=r"The split hash of the task vegetation .* assignment of samples"):
        load(replace(task, share=0.5), root)
    with pytest.raises(InputError, match="split hash"):
        load(replace(task, per_kind=3), root)


def test_every_task_is_frozen() -> None:
    assert set(frozen_digests()) == {task.name for task in TASKS}
    assert len(TASKS) == len({task.name for task in TASKS}) == 10


def test_seeds_that_are_not_frozen_are_refused(miniatures: dict[str, tuple[Path, Samples]]) -> None:
    for seed in (-1, 10):
        with pytest.raises(InputError, match="whose splits are frozen"):
            TASKS[0].split(miniatures[TASKS[0].name][1], seed)


def made_up(classes: np.ndarray, groups: list[str], place: np.ndarray | None = None) -> Samples:
    """Samples of one pixel and one band."""
    count = len(classes)
    target = Target(classes[:, None, None].astype(np.int64), ("a", "b"))
    values = np.zeros((count, 1, 1, 1, 1), np.float32)
    inputs = Inputs(
        values,
        np.ones(values.shape, bool),
        BandSet.of("x"),
        np.zeros((count, 1), np.int64),
        np.zeros((count, 2)),
        False,
    )
    ids = tuple(f"{number}" for number in range(count))
    return Samples(inputs, target, ids, tuple(groups), class_strata(target), place)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 30), st.floats(0.05, 0.9))
def test_groups_stay_whole_whatever_the_draw(seed: int, groups: int, share: float) -> None:
    stream = rng.generator(seed, "test")
    names = [f"g{number}" for number in stream.integers(0, groups, 200)]
    samples = made_up(np.arange(200) % 2, names)
    check_no_leak(samples, group_split("made up", samples, seed, share))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 20), st.integers(8, 20))
def test_a_strip_keeps_its_distance(seed: int, rows: int, columns: int) -> None:
    place = tile_places(rows, columns, 1)
    samples = made_up(rng.generator(seed, "test").integers(0, 2, len(place)), list(strip_groups(place)), place)
    split = strip_split("made up", samples, seed)
    check_no_leak(samples, split)
    assert 0.1 < len(split.ids("test")) / len(place) < 0.4


def test_a_class_in_one_group_cannot_be_split() -> None:
    samples = made_up(np.array([0, 0, 0, 1]), ["a", "b", "c", "d"])
    with pytest.raises(InputError, match="leaves samples of every class on both sides"):
        group_split("made up", samples, 0, 0.3)
    with pytest.raises(InputError, match="have no place"):
        strip_split("made up", samples, 0)


def test_few_takes_what_there_is() -> None:
    samples = made_up(np.array([0, 1, 0, 1, 0, 1, 1]), list("abcdefg"))
    split = group_split("made up", samples, 0, 0.3)
    assert sorted(few("made up", samples, split, 99, 0)) == split.ids("train")
    one = few("made up", samples, split, 1, 0)
    assert len(one) == 2 and {int(name) % 2 if int(name) < 6 else 1 for name in one} == {0, 1}
    assert one == few("made up", samples, split, 1, 0)
    assert len({tuple(few("made up", samples, split, 1, seed)) for seed in range(10)}) > 1


def test_components_join_what_shares_an_element() -> None:
    found = components([{1, 2}, {3}, {2, 4}, {5, 6}, {4}, {6}])
    assert found[0] == found[2] == found[4] and found[3] == found[5]
    assert len(set(found)) == 3
    assert components([]) == []


def test_tiles_lie_where_their_places_say() -> None:
    array = np.arange(2 * 7 * 9).reshape(2, 7, 9)
    cut, place = tiles(array, 3), tile_places(7, 9, 3)
    assert cut.shape == (6, 2, 3, 3) and place.shape == (6, 2)
    for tile, (row, column) in zip(cut, place.tolist(), strict=True):
        np.testing.assert_array_equal(tile, array[:, row * 3 : row * 3 + 3, column * 3 : column * 3 + 3])
    assert tiles(array, 8).shape == (0, 2, 8, 8)


def test_strata_and_fifths() -> None:
    labels = np.array([[[0, 0], [1, IGNORE]], [[IGNORE, IGNORE], [IGNORE, IGNORE]]])
    np.testing.assert_array_equal(class_strata(Target(labels, ("a", "b", "c"))), [[True, True, False], [False] * 3])
    assert fifths(np.arange(10.0)[::-1]).sum(axis=0).tolist() == [2] * 5
    assert fifths(np.zeros(0)).shape == (0, 5)


def test_contracts_are_checked(miniatures: dict[str, tuple[Path, Samples]]) -> None:
    _, samples = miniatures["floods"]
    broken = samples.inputs.values.copy()
    broken[0, 0, 0, 0, 0] = np.nan
    high = samples.target.values.copy()
    high[0, 0, 0] = 9
    for wrong, words in (
        (replace(samples, inputs=replace(samples.inputs, values=broken)), "1 inputs are NaN"),
        (replace(samples, target=replace(samples.target, values=high)), "The classes run from 0 to 9"),
        (replace(samples, target=replace(samples.target, values=high[:, :1])), "The answers have shape"),
        (replace(samples, ids=samples.ids[:-1] + samples.ids[:1]), "different ids"),
        (replace(samples, inputs=replace(samples.inputs, month=samples.inputs.month[:, :0])), "'month' has shape"),
    ):
        with pytest.raises(ContractError, match=words):
            wrong.check()
