"""A disk of every size: a sentence or a whole result, older results untouched, and after making room the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from disk_jobs import JOBS, Tried, mounted, try_all

LEVELS = 5
"""Sizes a job here; `python tools/faults.py --levels 24` tries more."""


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tried]:
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root may mount the small disks of this test")
    try:
        with mounted(tmp_path_factory.mktemp("disk"), 64):
            pass
    except subprocess.CalledProcessError:
        pytest.skip("small disks cannot be mounted here")
    return try_all(tmp_path_factory.mktemp("disks"), LEVELS)


@pytest.mark.parametrize("name", JOBS)
def test_a_full_disk_is_a_sentence_at_every_size(tried: dict[str, Tried], name: str) -> None:
    assert tried[name].problems == []
    assert tried[name].refused >= 1 and tried[name].finished >= 1, tried[name]
