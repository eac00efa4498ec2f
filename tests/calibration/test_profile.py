from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from unlesion.calibration import TrainingProfile
from unlesion.calibration.traits import BRIGHTEST, contrast_distance, traits_of


@dataclass
class FakePlacement:
    matrix: NDArray[np.float64]


@dataclass
class FakePrepared:
    images: NDArray[np.float32]
    roi: NDArray[np.bool_]
    spacing: tuple[float, float] = (3.0, 3.0)
    slice_mm: float = 4.0
    modality: tuple[str, ...] = ("T1",)
    placement: FakePlacement = field(default_factory=lambda: FakePlacement(np.diag([3.0, 3.0, 4.0, 1.0])))


def brain(seed: int, *, mean: float = 0.5, slices: int = 10, side: int = 24) -> FakePrepared:
    generator = np.random.default_rng(seed)
    images = generator.normal(mean, 0.15, (slices, 1, 32, 32)).clip(0, 1.5).astype(np.float32)
    roi = np.zeros((slices, 32, 32), bool)
    roi[:, 4 : 4 + side, 4 : 4 + side] = True
    return FakePrepared(images=images * roi[:, None], roi=roi)


@pytest.fixture(scope="module")
def profile() -> TrainingProfile:
    return TrainingProfile.fit_scans(brain(i, mean=0.48 + 0.01 * (i % 5), side=22 + i % 3) for i in range(12))


def test_scans_like_the_training_scans_are_fine(profile: TrainingProfile) -> None:
    for seed in range(20, 30):
        assert profile.warnings(brain(seed)) == ()


@pytest.mark.parametrize(
    ("scan", "said"),
    [
        (brain(1, mean=0.8), "contrast"),
        (brain(1, side=12), "area"),
        (brain(1, slices=4), "height"),
        (replace(brain(1), modality=("FLAIR",)), "modality"),
        (replace(brain(1), placement=FakePlacement(np.diag([0.5, 0.5, 4.0, 1.0]))), "in-plane"),
        (replace(brain(1), placement=FakePlacement(np.diag([3.0, 3.0, 0.7, 1.0]))), "of slices"),
    ],
)
def test_each_kind_of_difference_is_said(profile: TrainingProfile, scan: FakePrepared, said: str) -> None:
    found = profile.warnings(scan)
    assert len(found) == 1
    assert said in found[0]
    assert "\n" not in found[0]


def test_unknown_modality_is_no_difference(profile: TrainingProfile) -> None:
    assert profile.warnings(replace(brain(1), modality=("",))) == ()
    assert profile.warnings(replace(brain(1), modality=("t1",))) == ()


def test_inverted_contrast_is_seen(profile: TrainingProfile) -> None:
    scan = brain(1, mean=0.4)
    scan.images = np.where(scan.roi[:, None], 1.2 - scan.images, 0).astype(np.float32)
    assert any("contrast" in line for line in profile.warnings(scan))


def test_an_empty_roi_is_said(profile: TrainingProfile) -> None:
    scan = brain(1)
    scan.roi = np.zeros_like(scan.roi)
    assert any("empty" in line for line in profile.warnings(scan))


def test_flat_scans_have_no_height() -> None:
    flat = [replace(brain(i, slices=1), slice_mm=0.0) for i in range(6)]
    found = TrainingProfile.fit_scans(flat)
    assert "height_mm" not in found.ranges
    assert found.warnings(replace(brain(9, slices=1), slice_mm=0.0)) == ()


def test_from_a_store_as_from_scans(profile: TrainingProfile) -> None:
    scans = [brain(i, mean=0.48 + 0.01 * (i % 5), side=22 + i % 3) for i in range(12)]

    @dataclass
    class FakeStore:
        images: NDArray[np.float32]
        roi: NDArray[np.uint8]
        slice_scan: NDArray[np.int64]
        scans: list[dict[str, object]]

    store = FakeStore(
        images=np.concatenate([s.images for s in scans]),
        roi=np.concatenate([s.roi for s in scans]).astype(np.uint8),
        slice_scan=np.repeat(np.arange(12), 10),
        scans=[
            {
                "spacing": [3.0, 3.0],
                "slice_mm": 4.0,
                "placement": s.placement.matrix.tolist(),
                "modality": ["T1"],
            }
            for s in scans
        ],
    )
    found = TrainingProfile.fit(store, np.arange(120))  # type: ignore[arg-type]
    np.testing.assert_allclose(found.histogram, profile.histogram)
    assert found.ranges == profile.ranges


def test_round_trip_through_json(profile: TrainingProfile) -> None:
    back = TrainingProfile.from_json(json.loads(json.dumps(profile.to_json(), allow_nan=False)))
    for scan in (brain(30), brain(31, mean=0.9), brain(32, side=10)):
        assert back.warnings(scan) == profile.warnings(scan)


@pytest.mark.parametrize("saved", [None, {}, {"histogram": 1}])
def test_other_json_is_refused(saved: object) -> None:
    with pytest.raises(ValueError, match="profile"):
        TrainingProfile.from_json(saved)


def test_nothing_to_profile() -> None:
    with pytest.raises(ValueError, match="no training scan"):
        TrainingProfile.fit_scans([])


def test_distance_is_the_shift() -> None:
    one, two = np.zeros((1, 60)), np.zeros((1, 60))
    one[0, 10] = two[0, 16] = 1
    assert contrast_distance(one, two) == pytest.approx(6 * BRIGHTEST / 60)


def test_each_modality_is_held_against_its_own() -> None:
    t1 = [brain(i, mean=0.4) for i in range(8)]
    chest = [replace(brain(i, mean=0.9, side=28), modality=("CXR",)) for i in range(8, 16)]
    mixed = TrainingProfile.fit_scans([*t1, *chest])
    mixed = TrainingProfile.from_json(json.loads(json.dumps(mixed.to_json())))
    assert [part.modality for part in mixed.parts] == [("CXR",), ("T1",)]
    assert mixed.warnings(brain(30, mean=0.4)) == ()
    assert mixed.warnings(replace(brain(30, mean=0.9, side=28), modality=("cxr",))) == ()
    # Looks like a chest and is said to be a brain: the mixture alone would let it pass.
    assert [w.split()[0] for w in mixed.warnings(brain(30, mean=0.9))] == ["contrast"]
    (found,) = mixed.warnings(replace(brain(30, mean=0.65), modality=("T2",)))
    assert "T2 (trained on CXR, T1)" in found
    assert mixed.warnings(replace(brain(30, mean=0.65), modality=("",))) == ()
    assert "parts" not in TrainingProfile.fit_scans(t1).to_json()


def smooth(seed: int, *, width: float = 3.0) -> FakePrepared:
    """Anatomy in place of noise: grey values that change slowly."""
    scan = brain(seed)
    noise = np.random.default_rng(seed).normal(size=scan.images.shape)
    slow = gaussian_filter(noise, (0, 0, width, width))
    scan.images = ((0.5 + 0.15 * slow / slow.std()) * scan.roi[:, None]).clip(0, 1.5).astype(np.float32)
    return scan


def test_noise_is_seen_whatever_its_grey_values() -> None:
    profile = TrainingProfile.fit_scans(smooth(seed) for seed in range(8))
    assert profile.warnings(smooth(20)) == ()
    noise = smooth(21)
    inside = noise.images[noise.roi[:, None]]
    # The very grey values of a healthy scan, in any order: no histogram tells them apart.
    np.random.default_rng(0).shuffle(inside)
    noise.images[noise.roi[:, None]] = inside
    (said,) = profile.warnings(noise)
    assert said.startswith("texture (mean step from pixel to pixel) unlike the training scans: 1 ")
    # A lesion may smooth a scan; other contrasts of the same anatomy are no other texture.
    assert profile.warnings(smooth(22, width=6.0)) == ()
    brighter = smooth(23)
    brighter.images = np.where(brighter.roi[:, None], 0.1 + 0.5 * brighter.images, 0).astype(np.float32)
    assert not any("texture" in line for line in profile.warnings(brighter))
    # An older run does not know.
    known = {name: pair for name, pair in profile.ranges.items() if name != "roughness"}
    assert replace(profile, ranges=known).warnings(noise) == ()


def test_roughness_is_a_ratio_of_mean_differences() -> None:
    images = np.random.default_rng(0).random((2, 1, 9, 9)).astype(np.float32)
    roi = np.random.default_rng(1).random((2, 9, 9)) < 0.8
    found = traits_of(
        images=images, roi=roi, pixel_mm=(1.0, 1.0, 1.0), matrix=np.eye(4), modality=("T1",)
    ).values["roughness"]
    steps = [
        abs(images[s, 0, i, j] - images[s, 0, i + a, j + b])
        for s in range(2)
        for i in range(9)
        for j in range(9)
        for a, b in ((1, 0), (0, 1))
        if i + a < 9 and j + b < 9 and roi[s, i, j] and roi[s, i + a, j + b]
    ]
    values = images[:, 0][roi]
    pairs = np.abs(values[:, None] - values[None])[~np.eye(len(values), dtype=bool)]
    assert found == pytest.approx(np.mean(steps) / pairs.mean(), rel=1e-5)
    flat = traits_of(
        images=np.ones_like(images), roi=roi, pixel_mm=(1, 1, 1), matrix=np.eye(4), modality=("T1",)
    )
    assert "roughness" not in flat.values
