"""Events that were worked out already, a bounded number of them."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from swath.sources.world.earth.earth import Earth

Thing = TypeVar("Thing")


class Kept(Generic[Thing]):
    """Things by Earth and name, the least recently used go first; they go with their Earth, too.

    Two threads may work out the same thing at once; both get the same, because it depends on its name alone.

    Args:
        limit: number of things.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._things: OrderedDict[tuple[int, Hashable], tuple[weakref.ref[Earth], Thing]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._things)

    def get(self, earth: Earth, name: Hashable, make: Callable[[], Thing]) -> Thing:
        """The thing of this name on this Earth, made by ``make`` where it is not kept."""
        place = (id(earth), name)
        with self._lock:
            known = self._things.get(place)
            # The number of an object may come again once it is gone; the reference tells.
            if known is not None and known[0]() is earth:
                self._things.move_to_end(place)
                return known[1]
        made = make()
        with self._lock:
            self._things[place] = (weakref.ref(earth), made)
            self._things.move_to_end(place)
            while len(self._things) > self._limit:
                self._things.popitem(last=False)
        return made
