"""The lesions of the phantom are not the anomalies that `disyre` and `dal` learn from: nobody trains on the test's generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from torch import Tensor

from tests.methods.scenes import make_batch
from unlesion.methods.anatomy.corruption import CorruptionConfig, corrupted
from unlesion.methods.batch import Batch
from unlesion.methods.denoising.anomalies import GradedAnomalies
from unlesion.phantom.implant import Implant, RealAnatomy, make_implant
from unlesion.phantom.pathologies import PATHOLOGIES

Floats = NDArray[np.float32]
Family = Callable[[Batch, torch.Generator], Tensor]

# All but ventricular enlargement, which moves half of the brain, and those that take longest to grow.
KINDS = (
    "glioma",
    "multiple sclerosis",
    "acute stroke",
    "microbleeds",
    "resection cavity",
    "iso-intense texture",
)
# Changes below this are none; grey values are 0.5 in the middle of the brain's.
CHANGED = 0.02
FEWEST = 12


def grey(real: RealAnatomy, image: Floats) -> Floats:
    """Slices first, as recipes scale them."""
    scaled = np.clip(0.5 * image / np.median(real.image[real.brain]), 0, 1.5) * real.brain
    return np.moveaxis(scaled, 2, 0).astype(np.float32)


def implanted(real: RealAnatomy, *, seed: int) -> list[list[float]]:
    """Features of all slices with a lesion, one lesion of each pathology."""
    clean, rows = grey(real, real.image), []
    rng = np.random.default_rng(seed)
    for name in KINDS:
        volume = min(float(np.exp(rng.uniform(np.log(1), np.log(30)))), PATHOLOGIES[name].largest_ml)
        strength = float(rng.uniform(0.15, 1.15))
        lesion = Implant(key="x", pathology=name, volume_ml=volume, strength=strength, seed=seed)
        rows += patches(clean, grey(real, make_implant(real, lesion).blended.image))
    return rows


def drawn(real: RealAnatomy, family: Family, *, seed: int) -> list[list[float]]:
    """Features of all slices with anomalies of a method over them."""
    clean = grey(real, real.image)
    images = torch.from_numpy(clean)[:, None]
    batch = make_batch(images, torch.from_numpy(np.moveaxis(real.brain, 2, 0).copy())[:, None])
    found = family(batch, torch.Generator().manual_seed(seed))
    return patches(clean, found[:, 0].numpy())


def graded(batch: Batch, generator: torch.Generator) -> Tensor:
    """Slices as `disyre` sees them in training."""
    return GradedAnomalies().over(batch, generator=generator).images


def painted(batch: Batch, generator: torch.Generator) -> Tensor:
    """Slices as `dal` sees them when its restorer learns."""
    seen = []

    def encode(images: Tensor) -> Tensor:
        seen.append(images)
        return torch.cat([~batch.roi, batch.roi], dim=1).float()

    anatomy = torch.cat([~batch.roi, batch.roi], dim=1).float()
    corrupted(anatomy, batch.images, batch.roi, CorruptionConfig(), generator=generator, encode=encode)
    return seen[0]


def patches(clean: Floats, changed: Floats) -> list[list[float]]:
    """Features of each slice that changed enough to have any."""
    return [
        features(before, after)
        for before, after in zip(clean, changed, strict=True)
        if (np.abs(after - before) > CHANGED).sum() >= FEWEST
    ]


def features(clean: Floats, changed: Floats) -> list[float]:
    """Outline, evenness, softness of the border, and texture of what changed; neither its size nor how much."""
    change = changed - clean
    where = np.abs(change) > CHANGED
    rows, columns = ndimage.find_objects(where.astype(int))[0]
    rim = where & ~ndimage.binary_erosion(where)
    height = np.abs(change[where]).mean()
    fine = [(image - ndimage.uniform_filter(image, 3))[where].std() for image in (changed, clean)]
    return [
        float(where.sum() / ((rows.stop - rows.start) * (columns.stop - columns.start))),
        float(change[where].mean() / height),
        float(change[where].std() / height),
        float(np.abs(change[rim]).mean() / height),
        float(fine[0] / (fine[1] + 1e-3)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("family", [pytest.param(graded, id="disyre"), pytest.param(painted, id="dal")])
def test_a_simple_classifier_tells_the_two_families_apart(real_volume: RealAnatomy, family: Family) -> None:
    """Trained on some lesions and anomalies, asked about others: area under the curve far above one half."""
    sets = []
    for seed in (1, 2):
        lesions, anomalies = implanted(real_volume, seed=seed), drawn(real_volume, family, seed=seed)
        assert len(lesions) > 20 and len(anomalies) > 20
        sets.append((np.array(lesions + anomalies), np.repeat([0, 1], [len(lesions), len(anomalies)])))
    (known, answers), (held_out, truth) = sets
    forest = RandomForestClassifier(200, class_weight="balanced", random_state=0).fit(known, answers)
    found = roc_auc_score(truth, forest.predict_proba(held_out)[:, 1])
    assert found > 0.8
