"""The way between a scan's voxels and cubic ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from unlesion.phantom.implant.box import Box, from_xyz, to_xyz, weights


def test_axes_turn_and_turn_back() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    turned = to_xyz(array)
    assert turned.shape == (3, 2, 4)
    # Rows run to posterior and columns to left: the first row and column is the front on the right.
    assert turned[-1, -1, 0] == array[0, 0, 0]
    assert np.array_equal(from_xyz(turned), array)


@settings(deadline=None)
@given(
    step=st.floats(0.4, 4.0),
    size=st.floats(0.4, 4.0),
    first=st.floats(0.0, 3.0),
)
def test_weights_keep_a_constant(step: float, size: float, first: float) -> None:
    """Wherever a wanted cell lies inside, its weights add up to 1."""
    count = 20
    wanted = max(1, int((count * step - first) / size))
    line = weights(count, 0.0, step, wanted, first, size)
    assert line.shape == (wanted, count)
    inside = first + (np.arange(wanted) + 1) * size <= count * step
    assert np.allclose(line.sum(axis=1)[inside], 1, atol=1e-5)


def test_weights_of_larger_cells_are_means() -> None:
    line = weights(12, 0.0, 1.0, 4, 0.0, 3.0)
    values = np.arange(12.0)
    assert np.allclose((line @ values)[1:-1], [4, 7], atol=1e-5)


def test_a_scan_on_cubic_voxels_goes_through_unchanged() -> None:
    rng = np.random.default_rng(0)
    brain = np.zeros((30, 40, 20), bool)
    brain[8:22, 8:30, 5:16] = True
    box = Box.around(brain, (1.0, 1.0, 1.0))
    image = rng.random(brain.shape).astype(np.float32) * brain
    fine = box.inward(image)
    assert fine.shape == box.fine.shape
    window, back = box.outward(
        fine, (slice(0, fine.shape[0]), slice(0, fine.shape[1]), slice(0, fine.shape[2]))
    )
    out = np.zeros_like(image)
    out[window] = back
    assert np.array_equal(out, image)


def test_a_window_gives_what_the_whole_gives() -> None:
    rng = np.random.default_rng(1)
    brain = np.zeros((24, 24, 12), bool)
    brain[4:20, 4:20, 2:10] = True
    box = Box.around(brain, (0.9, 0.9, 2.5))
    fine = np.zeros(box.fine.shape, np.float32)
    window = (slice(8, 16), slice(6, 14), slice(8, 16))
    fine[window] = rng.random((8, 8, 8))
    everything = (slice(0, fine.shape[0]), slice(0, fine.shape[1]), slice(0, fine.shape[2]))
    outs = []
    for part, values in ((everything, fine), (window, fine[window])):
        out = np.zeros(brain.shape, np.float32)
        there, found = box.outward(values, part)
        out[there] = found
        outs.append(out)
    assert np.allclose(outs[0], outs[1], atol=1e-6)
    # Thick slices hold what all of their height holds.
    assert np.isclose(outs[0].sum() * 0.9 * 0.9 * 2.5, fine.sum(), rtol=0.05)


def test_a_slice_is_a_slab_alike_at_all_heights() -> None:
    brain = np.ones((40, 50, 1), bool)
    box = Box.around(brain, (1.5, 1.5, 1.0))
    image = np.random.default_rng(2).random(brain.shape).astype(np.float32)
    fine = box.inward(image)
    assert box.flat and fine.shape[2] > 1
    assert np.array_equal(fine[:, :, 0], fine[:, :, -1])
    window = (slice(0, fine.shape[0]), slice(0, fine.shape[1]), slice(0, fine.shape[2]))
    there, back = box.outward(fine, window, planes=slice(3, 6))
    assert np.abs(back - image[there]).mean() < 0.2
