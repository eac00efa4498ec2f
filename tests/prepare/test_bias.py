"""N4: shading goes, tissue stays, and the healthy image gets it back."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from tests.prepare.scenes import volume_scan
from unlesion.prepare import load_recipe
from unlesion.prepare.bias import BiasStep


def shaded(shape: tuple[int, ...], spacing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two tissues with a little noise under a smooth field; image, region and field (rows, columns, slices)."""
    axes = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape]
    rows, columns, slices = np.meshgrid(*axes, indexing="ij")
    region = (rows / 0.8) ** 2 + (columns / 0.7) ** 2 + (slices / 0.8) ** 2 < 1
    folds = np.sin(9 * rows) * np.sin(8 * columns) * np.cos(7 * slices) > 0.1
    field = np.exp(0.35 * rows - 0.25 * columns + 0.2 * slices * rows)
    noise = np.random.default_rng(0).normal(1, 0.02, shape)
    image = np.where(region, np.where(folds, 140.0, 100.0) * field * noise, 0.0)
    return image.astype(np.float32), region, field


@pytest.mark.parametrize(("shape", "spacing"), [((60, 52, 44), 3.0), ((120, 104, 1), 1.5)])
def test_a_known_field_is_found(shape: tuple[int, int, int], spacing: float) -> None:
    image, region, truth = shaded(shape, spacing)
    step = BiasStep(how="n4")
    found = step.field(image[None], region, (spacing,) * 3)
    assert found is not None and found.shape == (1, *shape) and found.dtype == np.float32
    wanted = np.log(truth[region])
    left = np.log(found[0][region]) - (wanted - wanted.mean())
    assert left.std() < 0.35 * wanted.std()
    assert float(np.log(found[0][region]).mean()) == pytest.approx(0.0, abs=0.02)
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(3)
    try:
        assert np.array_equal(found, step.field(image[None], region, (spacing,) * 3))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def test_where_there_is_nothing_to_find_nothing_is_changed() -> None:
    flat = np.full((1, 40, 40, 1), 7.0, np.float32)
    region = np.ones((40, 40, 1), bool)
    assert BiasStep().field(flat, region, (1.0, 1.0, 1.0)) is None
    for image, where in ((flat, region), (-flat, region), (flat, ~region)):
        found = BiasStep(how="n4").field(image, where, (4.0, 4.0, 4.0))
        assert found is not None and (found == 1).all()


def test_a_recipe_without_it_is_the_recipe_that_it_was() -> None:
    plain, corrected = load_recipe("brain-mri"), load_recipe("brain-mri", {"bias.how": "n4"})
    assert "bias" not in plain.model_dump() and plain.digest != corrected.digest
    assert load_recipe("brain-mri", {"bias.how": "none"}).digest == plain.digest


def test_the_healthy_image_is_shaded_as_the_scan_is() -> None:
    image, region, _ = shaded((60, 52, 44), 3.0)
    recipe = load_recipe(
        "brain-mri",
        {
            "bias.how": "n4",
            "align.how": "centre",
            "roi.how": "given_or_nonzero",
            "size": 96,
            "slices.step_mm": 2.0,
        },
    )
    prepared = recipe.prepare(volume_scan(image, spacing=(3.0, 3.0, 3.0)))
    inside = prepared.images[:, 0][prepared.roi]
    assert prepared.field is not None and inside.std() / inside.mean() < 0.2
    back = prepared.restore_healthy(prepared.images)[0]
    core = prepared.restored_roi & region
    off = np.abs(back - image)[core] / image[core]
    # Half of the voxels lie beside another tissue and are interpolated; shading alone would be off by up to 60 %.
    assert float(np.median(off)) < 0.06 and float(np.mean(back[core] / image[core])) == pytest.approx(
        1.0, abs=0.03
    )
