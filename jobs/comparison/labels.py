"""Where to write small labels beside points so that none covers another, a point, or, if there is room, a line.

Pure geometry in one unit, points of 1/72 inch. Each label tries places around its point, the near ones first, and takes
the one that covers least; then all try again, since those that came first did not know the others. Nothing is random.
"""

from collections.abc import Sequence

import numpy as np

from scaling.arrays import Bools, Floats

DISTANCES = (9.0, 11.0, 13.0, 18.0, 24.0, 31.0, 40.0, 52.0)
NUM_ANGLES = 16
ROUNDS = 4
MARKER_RADIUS = 4.5
SPACING = 1.5
"""Kept free around each label."""
COVERS_LABEL, COVERS_POINT, COVERS_LINE, LEAVES_FRAME = 1000.0, 300.0, 3.0, 1000.0
"""What a place costs for each thing that it covers; a distance costs its length."""


def place_labels(points: Floats, sizes: Floats, obstacles: Floats, frame: tuple[float, float, float, float]) -> Floats:
    """Centres [N, 2] of labels.

    Args:
        points: [N, 2], what the labels belong to; none may be covered.
        sizes: [N, 2], width and height of each label.
        obstacles: [M, 2], samples of lines, which are better not covered.
        frame: left, bottom, right, top, to stay within.
    """
    angles = np.pi / 4 + 2 * np.pi * np.arange(NUM_ANGLES) / NUM_ANGLES
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    offsets = np.concatenate([distance * directions for distance in DISTANCES])
    lengths = np.repeat(DISTANCES, NUM_ANGLES)
    centres = np.full_like(points, np.inf)
    for _ in range(ROUNDS):
        for number in _crowded_first(points):
            others = np.arange(len(points)) != number
            places = points[number] + offsets
            cost = (
                lengths
                + COVERS_LABEL * _hits(places, sizes[number] + sizes[others] + 2 * SPACING, centres[others])
                + COVERS_POINT * _hits(places, sizes[number] + 2 * MARKER_RADIUS, points)
                + COVERS_LINE * _hits(places, sizes[number] + 2 * SPACING, obstacles)
                + LEAVES_FRAME * _outside(places, sizes[number], frame)
            )
            centres[number] = places[np.argmin(cost)]
    return centres


def _crowded_first(points: Floats) -> Sequence[int]:
    """By the distance of the nearest other point: who has the least room chooses first."""
    distances = np.linalg.norm(points[:, np.newaxis] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    order: list[int] = np.argsort(distances.min(axis=1, initial=np.inf), kind="stable").tolist()
    return order


def _hits(places: Floats, widths: Floats, centres: Floats) -> Floats:
    """How many boxes around `centres` [M, 2] cover each of `places` [K, 2]; `widths` are full, [2] or [M, 2]."""
    apart = np.abs(places[:, np.newaxis] - centres)
    return np.asarray((apart < widths / 2).all(axis=2).sum(axis=1), dtype=np.float64)


def _outside(places: Floats, size: Floats, frame: tuple[float, float, float, float]) -> Bools:
    left, bottom, right, top = frame
    low, high = places - size / 2, places + size / 2
    return np.asarray((low < (left, bottom)).any(axis=1) | (high > (right, top)).any(axis=1), dtype=np.bool_)
