"""From truth to what a sensor would have measured.

``observe`` takes any truth, simulated or a user's own, and gives a scene as ``cubes.open`` gives one of a product.
"""

from __future__ import annotations

from swath.sources.world.render.atmosphere import Atmosphere
from swath.sources.world.render.conditions import Conditions
from swath.sources.world.render.observe import margin, masks, observe

__all__ = ["Atmosphere", "Conditions", "margin", "masks", "observe"]
