"""A disk of every size: a sentence or a whole result, older results untouched, and after making room the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from disk_jobs import JOBS, mounted, try_sizes

LEVELS = 7


@pytest.fixture(scope="module")
def may_mount(tmp_path_factory: pytest.TempPathFactory) -> None:
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root may mount the small disks of this test")
    try:
        with mounted(tmp_path_factory.mktemp("disk"), 64):
            pass
    except subprocess.CalledProcessError:
        pytest.skip("small disks cannot be mounted here")


@pytest.mark.parametrize("name", list(JOBS))
def test_a_full_disk_is_a_sentence_at_every_size(may_mount: None, tmp_path: Path, name: str) -> None:
    tried = try_sizes(JOBS[name], tmp_path, LEVELS)
    assert tried.problems == []
    assert tried.refused >= 2 and tried.finished >= 1, tried
