"""swath: from raw scenes to maps that people can trust.

The front door mirrors the everyday commands::

    import swath

    scene = swath.open("scene.tif", sensor="sentinel2_l2a", baseline="05.09")
    chips = swath.chips(scene, "polygons.geojson", "chips", column="class")
    model = swath.fit(chips, "run")
    swath.predict(model, scene, "map.tif")
    print(swath.score(model, chips))
    swath.serve(".")

``swath.World`` is the simulated Earth. Nothing heavy is imported before a verb is used. Four verbs (``chips``,
``embed``, ``predict``, ``serve``) are also the names of packages; those packages are callable, so that
``swath.chips(...)`` and ``swath.chips.cut(...)`` both work (docs/adr/0001). With few labels,
``swath.embed("scene.tif", "emb.tif", model="presto")`` and ``swath.fit_features("emb.tif", "points.geojson", "run")``
take the place of chips and training (docs/embeddings.md).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swath.sources.world.world import World
    from swath.verbs import check, fit, fit_features, load, open, run, score

__version__ = "0.1.0"
__all__ = [
    "World",
    "check",
    "chips",
    "embed",
    "fit",
    "fit_features",
    "load",
    "open",
    "predict",
    "run",
    "score",
    "serve",
]

_VERBS = frozenset(__all__) - {"World"}
_ROOMS = frozenset({"chips", "embed", "predict", "serve"})


class _CallableRoom(ModuleType):
    """A package that is also a verb."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        verbs = importlib.import_module("swath.verbs")
        return getattr(verbs, self.__name__.rpartition(".")[2])(*args, **options)


class _FrontDoor(ModuleType):
    """The package itself. The import system sets sub-packages as attributes here: that is where rooms become verbs."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _ROOMS and isinstance(value, ModuleType):
            value.__class__ = _CallableRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "World":
        return importlib.import_module(f"{__name__}.sources.world.world").World
    if name in _VERBS:
        return getattr(importlib.import_module(f"{__name__}.verbs"), name)
    raise AttributeError(f"swath has no '{name}'; it has: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted((*globals(), *__all__))
