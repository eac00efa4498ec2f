from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlesion.evaluation.lesions import lesion_scores, match_lesions


def components(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    """Connected components with all neighbours, by flooding."""
    left = {tuple(map(int, place)) for place in np.argwhere(mask)}
    out = []
    while left:
        todo, own = [left.pop()], set()
        while todo:
            here = todo.pop()
            own.add(here)
            near = {p for p in left if max(abs(a - b) for a, b in zip(p, here, strict=True)) <= 1}
            left -= near
            todo += near
        out.append(own)
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(7, 7, 1), (5, 5, 4)]), st.floats(0.02, 0.4))
def test_against_brute_force(seed: int, shape: tuple[int, int, int], density: float) -> None:
    generator = np.random.default_rng(seed)
    truth, predicted = generator.random(shape) < density, generator.random(shape) < density
    lesions, findings = components(truth), components(predicted)
    there = set().union(*findings) if findings else set()
    marked = set().union(*lesions) if lesions else set()
    found = match_lesions(truth, predicted)
    assert found.lesions == len(lesions)
    assert found.predicted == len(findings)
    assert found.found == sum(len(one & there) * 10 >= len(one) for one in lesions)
    assert found.true == sum(bool(one & marked) for one in findings)


def test_a_tenth_is_enough() -> None:
    truth = np.zeros((40, 1, 1), bool)
    truth[:10] = truth[20:31] = True
    predicted = np.zeros_like(truth)
    predicted[0] = predicted[20] = True
    # One of 10 voxels covers 10 %, one of 11 does not; both findings touch a lesion.
    found = match_lesions(truth, predicted)
    assert (found.lesions, found.found, found.predicted, found.true) == (2, 1, 2, 2)


@pytest.mark.parametrize(
    ("counts", "recall", "precision", "f1"),
    [
        ((4, 2, 3, 3), 0.5, 1.0, 2 / 3),
        ((4, 0, 3, 0), 0.0, 0.0, 0.0),
        ((4, 0, 0, 0), 0.0, np.nan, 0.0),
        ((0, 0, 3, 0), np.nan, 0.0, np.nan),
    ],
)
def test_scores(counts: tuple[int, ...], recall: float, precision: float, f1: float) -> None:
    found = lesion_scores(np.asarray(counts, float))
    np.testing.assert_allclose([found["recall"], found["precision"], found["f1"]], [recall, precision, f1])
