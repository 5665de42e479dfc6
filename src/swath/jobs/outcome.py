"""What came of an item, on its way between processes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any

from swath.errors import ContractError
from swath.failures import Failure


@dataclass(frozen=True)
class Done:
    """A result on its way; wrapped, so that a result that is a Failure is not taken for one."""

    value: Any


def attempt(work: Callable[[Any], Any], item: Any, stage: str) -> Done | Failure:
    """Work on one item."""
    try:
        return Done(work(item))
    except Exception as error:  # whatever it is, it belongs to this item
        return Failure.of("", stage, error)


def packed(item: Any, stage: str) -> bytes | Failure:
    """An item on its way to another process, or why it cannot go."""
    try:
        return bytes(ForkingPickler.dumps(item))
    except Exception as error:  # pickling runs the item's own code
        return Failure.of("", stage, error)


def answer(work: Callable[[Any], Any], message: bytes, stage: str) -> bytes:
    """What came of an item that arrived as ``message``, ready for the way back."""
    try:
        return bytes(ForkingPickler.dumps(attempt(work, pickle.loads(message), stage)))
    except Exception as error:  # an item or a result that does not survive the way
        return bytes(ForkingPickler.dumps(Failure.of("", stage, error)))


def unpacked(message: bytes, stage: str) -> Done | Failure:
    """What came of an item, from its way back."""
    try:
        outcome: Done | Failure = pickle.loads(message)
        return outcome
    except Exception as error:  # unpickling runs the result's own code
        return Failure.of("", stage, error)


def unsendable(error: Exception) -> ContractError:
    """The error for work that cannot go to another process."""
    return ContractError(
        f"The work cannot be sent to another process ({error})",
        expected="a function at module level, with arguments that can be pickled",
        remedy="move it out of the function it is defined in, or use workers=0",
    )


def died(stage: str, how: str, times: int) -> Failure:
    """The failure of an item whose workers died."""
    tries = "" if times == 1 else f", {times} times"
    return Failure(
        "",
        stage,
        f"The process that worked on it {how}{tries}",
        "free memory, take smaller tiles or fewer workers, and run the same command again",
    )
