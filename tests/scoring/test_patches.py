from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest

from tests.scoring.fakes import FakePrepared, evidence
from unlesion.calibrating import with_scoring
from unlesion.errors import BadInput
from unlesion.scoring import PatchConfig, PostConfig, ScoringConfig, make_scorer
from unlesion.scoring.patches import patch_map

NO_POST = PostConfig(median_mm=0, median_volume_mm=0)


def texture(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def rule(**patch: object) -> ScoringConfig:
    return ScoringConfig(rule="patch", patch=PatchConfig.model_validate(patch), post=NO_POST)


def test_nothing_where_scan_and_healthy_image_agree() -> None:
    scan = texture(2, 2, 20, 20)
    assert make_scorer(rule()).map(evidence(scan, scan.copy())).max() < 1e-5


def test_search_forgives_what_lies_a_little_apart() -> None:
    scan = texture(1, 2, 24, 24)
    healthy = np.roll(scan, 2, axis=2)
    inside = (slice(None), slice(7, -7), slice(7, -7))
    # 3 mm a pixel: 6 mm are two pixels.
    forgiven = make_scorer(rule(search_mm=6, smooth_mm=0)).map(evidence(scan, healthy))[inside]
    strict = make_scorer(rule(search_mm=0, smooth_mm=0)).map(evidence(scan, healthy))[inside]
    assert forgiven.max() < 1e-5
    assert strict.min() > 0.01
    assert strict.max() <= 2


def test_a_lesion_is_found_where_it_is() -> None:
    scan = np.full((1, 1, 32, 32), 0.5, np.float32)
    healthy = scan.copy()
    scan[0, 0, 10:16, 10:16] = 0.9
    for embedding in ("filters", "grey"):
        found = make_scorer(rule(embedding=embedding)).map(evidence(scan, healthy))[0]
        assert found[12, 12] > 0.05
        assert found[:5].max() < 1e-5
        assert np.unravel_index(found.argmax(), found.shape) in [
            (r, c) for r in range(10, 16) for c in range(10, 16)
        ]


def test_signs_are_those_of_the_difference() -> None:
    scan = np.full((1, 1, 32, 32), 0.5, np.float32)
    healthy = scan.copy()
    scan[0, 0, 4:10, 4:10], scan[0, 0, 20:26, 20:26] = 0.8, 0.2
    for sign, seen, unseen in (("bright", (6, 6), (22, 22)), ("dark", (22, 22), (6, 6))):
        config = rule().model_copy(update={"sign": sign})
        found = make_scorer(config).map(evidence(scan, healthy))[0]
        assert found[seen] > 0.05
        assert found[unseen] == 0


def test_channels_are_compared_one_by_one() -> None:
    scan, healthy = texture(1, 3, 20, 20), texture(1, 3, 20, 20, seed=1)
    prepared = FakePrepared(images=scan, roi=np.ones((1, 20, 20), bool))
    together = patch_map(prepared, healthy, PatchConfig())
    for c in range(3):
        alone = FakePrepared(images=scan[:, c : c + 1], roi=prepared.roi)
        np.testing.assert_allclose(
            together[:, c : c + 1], patch_map(alone, healthy[:, c : c + 1], PatchConfig()), atol=1e-6
        )


def test_slices_do_not_see_each_other_unless_patches_go_through_them() -> None:
    scan = np.full((9, 1, 16, 16), 0.5, np.float32)
    healthy = scan.copy()
    scan[4] = 0.9
    volume = {"slice_mm": 3.0}
    flat = make_scorer(rule(search_mm=0, smooth_mm=0)).map(evidence(scan, healthy, **volume))  # type: ignore[arg-type]
    deep = make_scorer(rule(search_mm=0, smooth_mm=0, through_slices=True, embedding="grey")).map(
        evidence(scan, healthy, **volume)  # type: ignore[arg-type]
    )
    assert flat[4].min() > 0.1 and max(flat[3].max(), flat[5].max()) < 1e-5
    assert min(deep[3].min(), deep[5].min()) > 0.01 and max(deep[0].max(), deep[8].max()) < 1e-5
    # A slice that moved up by one is found again.
    moving = texture(9, 1, 16, 16)
    again = make_scorer(rule(search_mm=3, smooth_mm=0, through_slices=True, embedding="grey")).map(
        evidence(moving, np.roll(moving, 1, axis=0), **volume)  # type: ignore[arg-type]
    )
    assert again[3:6, 4:-4, 4:-4].max() < 1e-5


def test_many_slices_are_as_one_at_a_time() -> None:
    scan, healthy = texture(20, 1, 16, 16), texture(20, 1, 16, 16, seed=1)
    scorer = make_scorer(rule())
    together = scorer.map(evidence(scan, healthy))
    for s in (0, 15, 16, 19):
        alone = scorer.map(evidence(scan[s : s + 1], healthy[s : s + 1]))
        np.testing.assert_allclose(together[s], alone[0], atol=1e-6)


def test_millimetres_become_pixels() -> None:
    scan, healthy = texture(1, 1, 24, 24), texture(1, 1, 24, 24, seed=1)
    coarse = FakePrepared(images=scan, roi=np.ones((1, 24, 24), bool), spacing=(2.0, 2.0))
    fine = FakePrepared(images=scan, roi=coarse.roi, spacing=(1.0, 1.0))
    same = patch_map(coarse, healthy, PatchConfig(size_mm=10, search_mm=4, smooth_mm=2))
    np.testing.assert_array_equal(
        same, patch_map(fine, healthy, PatchConfig(size_mm=5, search_mm=2, smooth_mm=1))
    )


def test_records_without_the_rule_keep_their_identity() -> None:
    assert "patch" not in ScoringConfig().model_dump(mode="json")
    assert "patch" not in ScoringConfig(rule="residual*ssim").model_dump(mode="json")
    for config in (ScoringConfig(rule="patch"), ScoringConfig(patch=PatchConfig(size_mm=5))):
        dumped = config.model_dump(mode="json")
        assert dumped["patch"]["size_mm"] == config.patch.size_mm
        assert ScoringConfig.model_validate(dumped) == config


@pytest.mark.parametrize("wrong", [{"size_mm": 0}, {"search_mm": -1}, {"embedding": "vgg"}, {"size": 8}])
def test_bad_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="patch"):
        ScoringConfig.model_validate({"rule": "patch", "patch": wrong})


def test_it_can_be_read_against_healthy_scans() -> None:
    """What is always a little unlike is no news; what never is, is."""
    generator = np.random.default_rng(0)
    healthy = np.full((1, 1, 24, 24), 0.5, np.float32)

    def scan() -> np.ndarray:
        out = healthy + 0.01 * generator.standard_normal(healthy.shape).astype(np.float32)
        out[..., 2:8, 2:8] += 0.3
        return out

    config = rule().model_copy(update={"standardise": True, "sd_floor": 0.001})
    scorer = make_scorer(config).fit([evidence(scan(), healthy) for _ in range(12)])
    ill = scan()
    ill[..., 14:20, 14:20] += 0.3
    found = scorer.map(evidence(ill, healthy))[0]
    assert found[16, 16] > 10 * found[4, 4]


def test_a_run_that_standardised_other_patches_is_refused() -> None:
    detector = Mock(scorers={"native": make_scorer(rule().model_copy(update={"standardise": True}))})
    with pytest.raises(BadInput, match=r"scoring.patch"):
        with_scoring(detector, {"patch.size_mm": 20.0})
