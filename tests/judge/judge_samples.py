"""What the tests of this room share beside fixtures."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from swath.sensors import BandSet
from swath.types import Batch

CLASSES = ("forest", "crop", "ice")
BANDS = BandSet.of("red", "green", "blue")
MakeBatches = Callable[..., list[Batch]]


class Repository:
    """A temporary git repository."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(self.path), *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, message: str = "change") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


REGISTRATION = """\
system = "demo"
title = "A demonstration"

[[claim]]
name = "beats-forest"
primary = true
statement = "The network beats the forest"
estimand = "mean difference of mIoU over seeds"
metric = "miou"
margin = 0.01
contender = "unet"
baseline = "forest"
seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]

[[claim]]
name = "cheaper"
statement = "Its error is lower"
estimand = "mean difference"
metric = "iou:ice"
direction = "higher"
margin = 0.01
contender = "unet"
baseline = "forest"
seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
"""
