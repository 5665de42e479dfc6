"""Named places to simulate: what a region is called, and where its middle lies."""

from __future__ import annotations

from dataclasses import dataclass

from swath.errors import ConfigError, nearest


@dataclass(frozen=True)
class NamedPlace:
    """A place by name; longitude and latitude in degrees."""

    name: str
    lon: float
    lat: float
    about: str


PLACES = {
    place.name: place
    for place in (
        NamedPlace("po_valley", 10.9, 45.1, "irrigated fields and towns, Italy"),
        NamedPlace("bavaria", 11.5, 48.6, "mixed farmland, forest and villages, Germany"),
        NamedPlace("iowa", -93.5, 42.0, "large fields of maize and soya, United States"),
        NamedPlace("california", -120.2, 37.6, "dry foothills with fires, United States"),
        NamedPlace("alberta", -113.5, 54.5, "prairie and boreal forest, Canada"),
        NamedPlace("rondonia", -62.8, -9.9, "pasture and savanna where rain forest was, Brazil"),
        NamedPlace("mato_grosso", -55.5, -12.5, "savanna and large fields, Brazil"),
        NamedPlace("patagonia", -71.5, -47.0, "steppe and snow, Argentina"),
        NamedPlace("niger", 2.1, 13.5, "Sahel, one short rainy season"),
        NamedPlace("congo", 23.0, 0.5, "rain forest on the equator"),
        NamedPlace("kenya", 36.8, -0.6, "highlands with small fields"),
        NamedPlace("ganges", 88.6, 25.2, "flood plain with rice, India"),
        NamedPlace("mekong", 105.6, 10.6, "delta with rice, Vietnam"),
        NamedPlace("borneo", 113.9, 0.6, "rain forest and plantations, Indonesia"),
        NamedPlace("murray", 144.5, -35.8, "river plain, Australia"),
        NamedPlace("taiga", 95.0, 60.0, "larch and pine forest, Siberia"),
        NamedPlace("greenland", -50.2, 67.0, "coast and ice"),
        NamedPlace("svalbard", 16.0, 78.4, "arctic valleys and glaciers"),
        NamedPlace("fiji", 179.9, -16.6, "islands on the antimeridian"),
    )
}


def place_of(region: str) -> NamedPlace:
    """A named place, or one given as ``LON,LAT`` in degrees.

    Raises:
        ConfigError: the name is unknown, or the numbers are no place.
    """
    if region in PLACES:
        return PLACES[region]
    parts = region.split(",")
    if len(parts) == 2:
        try:
            lon, lat = (float(part) for part in parts)
        except ValueError:
            lon = lat = float("nan")
        if -180 <= lon <= 180 and -90 <= lat <= 90:
            ns, ew = "N" if lat >= 0 else "S", "E" if lon >= 0 else "W"
            name = f"{abs(lat):.3f}{ns}_{abs(lon):.3f}{ew}".replace(".", "p")
            return NamedPlace(name, lon, lat, "chosen by its coordinates")
    raise ConfigError(
        f"The region '{region}' is unknown",
        expected=f"LON,LAT in degrees, or one of {', '.join(PLACES)}",
        remedy=f"the nearest names are: {nearest(region, PLACES)}",
    )
