"""Places and distances anywhere on Earth, the poles and the antimeridian included, another way than the code's."""

from __future__ import annotations

from math import asin, atan2, cos, degrees, hypot, pi, radians, sin, sqrt

from kalos_connect_sdk.core.coarsen import Cell

R_MIN_M = 6_335_439  # the tightest curve of the ellipsoid, along the meridian at the equator
R_MAX_M = 6_399_594  # the widest, at the poles

Point = tuple[float, float]


def distance_m(one: Point, other: Point, radius_m: float = R_MAX_M) -> float:
    """On a sphere: with ``R_MAX_M`` never too little, with ``R_MIN_M`` never too much."""
    north, east = radians(other[0] - one[0]), radians(other[1] - one[1])
    chord = sin(north / 2) ** 2 + cos(radians(one[0])) * cos(radians(other[0])) * sin(east / 2) ** 2
    return 2 * radius_m * asin(sqrt(min(chord, 1.0)))


def moved(point: Point, north_m: float, east_m: float) -> Point:
    """Where a straight way from ``point`` ends, over a pole too; at most 1 % longer on the ellipsoid."""
    way = hypot(north_m, east_m) / R_MIN_M
    course, start = atan2(east_m, north_m), radians(point[0])
    latitude = asin(max(-1.0, min(1.0, sin(start) * cos(way) + cos(start) * sin(way) * cos(course))))
    turn = atan2(sin(course) * sin(way) * cos(start), cos(way) - sin(start) * sin(latitude))
    return degrees(latitude), (point[1] + degrees(turn) + 180.0) % 360.0 - 180.0


def within(found: Cell, up: float, right: float) -> Point:
    """The point of a cell at ``up`` and ``right``, from -1 to 1."""
    longitude = found.longitude + right * found.half_width_deg
    return found.latitude + up * found.half_height_deg, max(-180.0, min(180.0, longitude))


def outside_m(found: Cell, point: Point, radius_m: float) -> float:
    """How far a point is from the nearest one of a cell."""
    south, north = found.latitude - found.half_height_deg, found.latitude + found.half_height_deg
    turn = (point[1] - found.longitude + 180.0) % 360.0 - 180.0
    if abs(turn) <= found.half_width_deg:
        return radians(max(south - point[0], point[0] - north, 0.0)) * radius_m
    east = radians(abs(turn) - found.half_width_deg)
    nearest = degrees(atan2(sin(radians(point[0])), cos(radians(point[0])) * cos(east)))
    if abs(nearest) > 90.0:
        nearest = 90.0 if nearest > 0 else -90.0
    return distance_m((point[0], 0.0), (max(south, min(north, nearest)), degrees(east)), radius_m)


def area_m2(found: Cell) -> float:
    """Area by summing thin strips of the ellipsoid: slow, and another way than the code's formula."""
    a, e2, strips = 6_378_137.0, 0.00669437999014, 64
    total = 0.0
    for strip in range(strips):
        latitude = radians(found.latitude + found.half_height_deg * (2 * (strip + 0.5) / strips - 1))
        flattening = 1 - e2 * sin(latitude) ** 2
        total += a * cos(latitude) / sqrt(flattening) * a * (1 - e2) / flattening**1.5
    return total * (pi / 180 * 2 * found.half_height_deg / strips) * radians(2 * found.half_width_deg)
