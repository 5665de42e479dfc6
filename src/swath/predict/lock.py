"""One run at a time: a second one on the same map would write into the strips of the first."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from swath.errors import ResourceError
from swath.files import make_folder

LOCK = "lock"


def lock_folder(folder: Path) -> int | None:
    """Make a folder and lock it for this run; gives what ``unlock`` takes. The lock of a run that was killed is void.

    None where the operating or file system knows no such locks: then nothing is locked.

    Raises:
        ResourceError: another run, in this process or another one, holds the lock.
    """
    make_folder(folder)
    if sys.platform == "win32":
        return None
    import fcntl

    while True:
        try:
            descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # removed a moment ago by the run before
            make_folder(folder)
            continue
        except OSError:  # whoever writes the first file there finds out, and has a sentence for it
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ResourceError(
                f"Another run is writing this map (its strips are in '{folder}')",
                expected="one run at a time for one map",
                remedy="wait for it to end, or choose another name for the map",
            ) from error
        except OSError:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # the run that held the lock has ended and removed the folder
        make_folder(folder)


def unlock(descriptor: int | None) -> None:
    """Let other runs have the folder."""
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.close(descriptor)
