"""Which lesions go into which scans."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unlesion.errors import BadInput
from unlesion.phantom.implant.plan import Sizes, ball_of_section, plan_implants, slab_volume
from unlesion.phantom.pathologies import PATHOLOGIES
from unlesion.scans import Entry

ALL = list(PATHOLOGIES)


def volume(subject: str, split: str = "test") -> Entry:
    return Entry(
        key=f"{subject}/T1",
        paths=(Path(f"{subject}/T1.nii.gz"),),
        subject=subject,
        scan_id=subject,
        modality=("T1",),
        split=split,
    )


def slices(subject: str, count: int) -> list[Entry]:
    return [
        Entry(
            key=f"{subject}/slice_{number:02d}",
            paths=(Path(f"{subject}/slice_{number:02d}.png"),),
            subject=subject,
            scan_id=subject,
            position=number / count,
            modality=("T1",),
            split="test",
        )
        for number in range(count)
    ]


def test_a_volume_gets_each_pathology_once() -> None:
    plan = plan_implants([volume("a")], seed=0, pathologies=ALL, sizes=Sizes(), per_scan=None)
    made = plan["a/T1"]
    assert sorted(one.pathology for one in made) == sorted(ALL)
    for one in made:
        kind = PATHOLOGIES[one.pathology]
        assert kind.smallest_ml <= one.volume_ml <= kind.largest_ml
        assert one.key.startswith("test/a/")
        assert 0.15 <= one.strength <= 1.15


def test_of_neighbouring_slices_every_fourth_is_taken() -> None:
    entries = slices("a", 32)
    plan = plan_implants(entries, seed=0, pathologies=ALL, sizes=Sizes(), per_scan=None)
    places = [index for index, entry in enumerate(entries) if entry.key in plan]
    assert len(places) == 8 and set(np.diff(places)) == {4}
    assert all(len(made) == 1 for made in plan.values())
    # They take turns: no pathology comes twice before all came once.
    assert max(Counter(made[0].pathology for made in plan.values()).values()) == 1


def test_one_plan_whatever_the_order_and_the_others() -> None:
    first = [*slices("a", 12), volume("b")]
    other = [volume("c"), *first[::-1], *slices("d", 5)]
    plans = [
        plan_implants(entries, seed=3, pathologies=ALL, sizes=Sizes(), per_scan=2)
        for entries in (first, other)
    ]
    assert plans[0] and all(plans[1][key] == made for key, made in plans[0].items())
    again = plan_implants(first, seed=4, pathologies=ALL, sizes=Sizes(), per_scan=2)
    assert again != plans[0]


def test_keys_are_unique_and_say_what_it_is() -> None:
    entries = [volume("a"), volume("b", "val"), *slices("c/1", 8)]
    plan = plan_implants(entries, seed=0, pathologies=["glioma"], sizes=Sizes.parse("1"), per_scan=3)
    keys = [one.key for made in plan.values() for one in made]
    assert len(set(keys)) == len(keys) == 3 + 3 + 6
    assert "test/a/glioma-1ml" in keys and "val/b/glioma-1ml" in keys
    assert any(key.startswith("test/c/1/slice_") and key.endswith("-glioma-1ml") for key in keys)


def test_sizes_of_a_pathology_are_spread() -> None:
    plan = plan_implants([volume("a")], seed=0, pathologies=["glioma"], sizes=Sizes(), per_scan=8)
    sizes = sorted(one.volume_ml for one in plan["a/T1"])
    low, high = PATHOLOGIES["glioma"].smallest_ml, 60
    bounds = low * (high / low) ** (np.arange(9) / 8)
    assert all(a * 0.95 <= size <= b * 1.05 for a, size, b in zip(bounds, sizes, bounds[1:], strict=False))


@pytest.mark.parametrize("text", ["", "a", "3-1", "0.01-5", "1-100", "1,2,x", "-1", "1-2-3"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(BadInput, match="--sizes"):
        Sizes.parse(text)


def test_sizes_that_a_pathology_does_not_have() -> None:
    assert not Sizes.parse("20-60").fits("microbleeds")
    assert not Sizes.parse("0.05").fits("glioma")
    assert Sizes.parse("0.05,5").at("glioma", 0.99) == 5
    with pytest.raises(BadInput, match="microbleeds"):
        plan_implants(
            [volume("a")], seed=0, pathologies=["microbleeds"], sizes=Sizes.parse("20-60"), per_scan=1
        )


@pytest.mark.parametrize("volume_ml", [0.05, 0.3, 5.0, 60.0])
def test_a_slab_holds_less_than_the_ball(volume_ml: float) -> None:
    part = slab_volume(volume_ml, 8.0)
    radius = (3000 * volume_ml / (4 * np.pi)) ** (1 / 3)
    heights = np.linspace(-4, 4, 200_001)
    area = np.pi * np.clip(radius**2 - heights**2, 0, None)
    assert part == pytest.approx(area.mean() * 8 / 1000, rel=1e-3)
    assert ball_of_section(np.pi * radius**2) == pytest.approx(volume_ml)


def test_scans_of_one_name_in_folders_of_their_own_have_keys_of_their_own() -> None:
    entries = [replace(volume("a"), key=f"a/ses{number}/T1", scan_id=f"a-{number}") for number in range(1, 9)]
    plan = plan_implants(entries, seed=0, pathologies=ALL, sizes=Sizes(1.0, 2.0), per_scan=None)
    keys = [one.key for implants in plan.values() for one in implants]
    assert len(keys) == len(set(keys)) > 40
