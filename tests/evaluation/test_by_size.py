"""Lesions found by their own size."""

from __future__ import annotations

import numpy as np
import pytest

from unlesion.evaluation import Bootstrap
from unlesion.evaluation.by_size import FoundBySize
from unlesion.evaluation.lesions import match_lesions


def volume(*sides: int) -> tuple[np.ndarray, list[tuple[slice, ...]]]:
    """Cubes of these sides apart from one another, and where they are."""
    out, places, start = np.zeros((24, 24, 30 * len(sides)), bool), [], 2
    for side in sides:
        place = (slice(2, 2 + side), slice(2, 2 + side), slice(start, start + side))
        out[place], start = True, start + side + 3
        places.append(place)
    return out, places


def test_each_lesion_counts_in_the_band_of_its_own_volume() -> None:
    """Of voxels of 1 mm³ cubes of 4, 8, 12 and 20 hold 0.064, 0.512, 1.728 and 8 ml."""
    truth, places = volume(4, 4, 8, 12, 20)
    found = np.zeros_like(truth)
    for place in (places[1], places[3], places[4]):
        found[place] = True
    by_size = FoundBySize()
    by_size.add("a", match_lesions(truth, found), 0.001)
    by_size.add("b", match_lesions(truth, truth), 0.001)
    # Without a volume of voxels there is no size.
    by_size.add("c", match_lesions(truth, truth), None)
    metrics = by_size.metrics(Bootstrap())
    assert list(metrics) == ["<0.1 ml", "0.1-1 ml", "1-5 ml", "5-20 ml"]
    said = {
        name: (metric.value, metric.extra["found"], metric.extra["lesions"])
        for name, metric in metrics.items()
    }
    assert said["<0.1 ml"] == (pytest.approx(0.75), 3, 4)
    assert said["0.1-1 ml"] == (pytest.approx(0.5), 1, 2)
    assert said["1-5 ml"] == said["5-20 ml"] == (1.0, 2, 2)
    assert all(metric.ci is None for metric in metrics.values())


def test_sums_are_what_one_count_over_all_gives() -> None:
    truth, places = volume(3, 9)
    found = truth.copy()
    found[places[0]] = False
    parts, whole = [], FoundBySize()
    for subject in "abcdef":
        part = FoundBySize()
        for counted in (part, whole):
            counted.add(subject, match_lesions(truth, found if subject < "d" else truth), 0.002)
        parts.append(part)
    assert FoundBySize.sum(parts).metrics(Bootstrap()) == whole.metrics(Bootstrap())
    small = whole.metrics(Bootstrap())["<0.1 ml"]
    assert small.value == pytest.approx(0.5) and small.ci is not None and small.ci[0] < 0.5 < small.ci[1]
    assert FoundBySize().metrics(Bootstrap()) == {}
