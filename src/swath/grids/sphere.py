"""Constants of the sphere on which latitude-longitude and HEALPix grids live."""

from __future__ import annotations

import math

EARTH_RADIUS_M = 6_371_007.181
"""Authalic radius of WGS 84: the sphere with the surface area of the ellipsoid (Moritz 2000, GRS 80 constants)."""

METRES_PER_DEGREE = EARTH_RADIUS_M * math.pi / 180.0
"""Length of one degree of latitude on that sphere."""
