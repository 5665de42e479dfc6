"""Contenders of a benchmark as processes that take turns, so that what else the machine does strikes all alike."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats


class Contender:
    """A process that takes its turns when it is told."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def turn(self) -> dict[str, Any] | None:
        """One round, or None where the process is gone."""
        ears, mouth = self.process.stdin, self.process.stdout
        assert ears is not None
        assert mouth is not None
        try:
            print("go", file=ears, flush=True)
            line = mouth.readline()
        except BrokenPipeError:
            return None
        return {"contender": self.name, **json.loads(line)} if line else None

    def end(self) -> None:
        """Let it go."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()


def race(
    commands: Mapping[str, Sequence[str]], rounds: int, finish: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of all rounds, each printed as JSON; the first round warms up and is not counted.

    Args:
        commands: how each contender is started, by name.
        rounds: that count.
        finish: makes the row that is kept from what a contender printed.
    """
    contenders = [Contender(name, list(command)) for name, command in commands.items()]
    rows = []
    for number in range(-1, rounds):
        shift = number % len(contenders)
        for contender in [*contenders[shift:], *contenders[:shift]]:
            row = contender.turn()
            if row is None:
                print(json.dumps({"contender": contender.name, "round": number, "failed": "its process ended"}))
                continue
            row = {**finish(row), "round": number}
            print(json.dumps(row), flush=True)
            rows += [row] if number >= 0 else []
    for contender in contenders:
        contender.end()
    return rows


def ratio(own: list[float], other: list[float]) -> str:
    """Geometric mean of the ratios of all rounds, with a 95 % t interval."""
    logs = np.log(own) - np.log(other)
    half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs) if len(logs) > 1 else np.nan
    low, middle, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return f"x{middle:.3f} [{low:.3f}, {high:.3f}]"
