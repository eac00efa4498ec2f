"""All questions in one batch give the answers of one question at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.networks.diffusion.test_unet import shaken
from unlesion.networks.diffusion.one_step import redraw, rows_at_once
from unlesion.networks.diffusion.process import Process, Target
from unlesion.networks.diffusion.schedules import make_schedule
from unlesion.networks.diffusion.unet import DiffusionUNet

TIMES = (249, 499, 749)


def case(parts: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((4, 1, 8, 8), generator=generator)
    noise = torch.randn((3, 4, 1, 8, 8), generator=generator)
    regions = None
    if parts:
        regions = torch.zeros(parts, 1, 8, 8, dtype=torch.bool)
        for part in range(parts):
            regions[part, :, :, 3 * part : 3 * part + 4] = True
    return images, noise, torch.randn((4, 5), generator=generator), regions


@pytest.mark.parametrize("target", ["x0", "eps", "v"])
@pytest.mark.parametrize("parts", [0, 2])
@pytest.mark.parametrize("most", [5, 64])
def test_one_batch_is_a_loop(target: Target, parts: int, most: int) -> None:
    process = Process(make_schedule("cosine"), target)
    unet = shaken(DiffusionUNet(1, width=8, factors=(1, 1), blocks=1, context=5))
    images, noise, context, regions = case(parts)
    with torch.no_grad():
        found = redraw(unet, process, images, noise, TIMES, context=context, regions=regions, most=most)
        for k, time in enumerate(TIMES):
            for b in range(4):
                at = torch.tensor([time])
                noisy = process.noisy(images[b : b + 1], noise[k, b : b + 1], at)
                total, weight = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
                for region in [torch.ones(1, 8, 8, dtype=torch.bool)] if regions is None else regions:
                    seen = torch.where(region, noisy, images[b : b + 1])
                    drawn = process.clean_of(unet(seen, at, context[b : b + 1]), noisy, at)
                    total += drawn * region
                    weight += region
                expected = torch.where(weight > 0, total / weight.clamp(min=1), images[b : b + 1])
                torch.testing.assert_close(found[k, b], expected[0], atol=1e-4, rtol=1e-4)


def test_rows_are_dealt_in_few_batches_and_overlaps_averaged() -> None:
    process = Process(make_schedule("cosine"))
    asked: list[int] = []

    def count(noisy: Tensor, times: Tensor, context: Tensor | None) -> Tensor:
        asked.append(len(noisy))
        return torch.full_like(noisy, float(len(asked)))

    images, noise, _, regions = case(2)
    found = redraw(count, process, images, noise[:1], TIMES[:1], regions=regions, most=4)
    # Two regions, a batch each: columns 0 to 2 of the first, 3 of both, 4 to 6 of the second, 7 of none.
    assert asked == [4, 4]
    assert found[0, 0, 0, 0, :7].tolist() == [1.0, 1.0, 1.0, 1.5, 2.0, 2.0, 2.0]
    assert torch.equal(found[0, ..., 7], images[..., 7])
    asked.clear()
    redraw(count, process, images, noise, TIMES, most=64)
    assert asked == [12]


def test_part_of_a_region_may_be_used() -> None:
    process = Process(make_schedule("cosine"))
    images, noise, _, regions = case(2)
    assert regions is not None
    used = regions.clone()
    used[0, ..., 3] = False  # Columns 0 to 2 of the first, 3 to 6 of the second.

    def number(noisy: Tensor, times: Tensor, context: Tensor | None) -> Tensor:
        first = (noisy[..., 0] != images.repeat(2, 1, 1, 1)[..., 0]).flatten(1).any(1).reshape(-1, 1, 1, 1)
        return torch.where(first, 1.0, 2.0).expand_as(noisy)

    found = redraw(number, process, images, noise[:1], TIMES[:1], regions=regions, used=used)
    assert found[0, 0, 0, 0, :7].tolist() == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]
    assert torch.equal(found[0, ..., 7], images[..., 7])


@pytest.mark.parametrize("parts", [0, 2])
@pytest.mark.parametrize("cells", [False, True])
def test_regions_without_roi_are_not_asked_about(parts: int, cells: bool) -> None:
    process = Process(make_schedule("cosine"), "v")
    unet = shaken(DiffusionUNet(1, width=8, factors=(1, 1), blocks=1, context=5))
    images, noise, context, regions = case(parts)
    used = None
    if regions is not None and cells:
        used = torch.stack([regions[0], regions[1] & ~regions[0]])
    roi = torch.zeros(4, 1, 8, 8, dtype=torch.bool)
    roi[1, ..., :2] = True  # Only the first region.
    roi[2, ..., 3] = True  # Both regions, but only the first one's cell.
    roi[3, :, 2:6, 1:6] = True
    asked: list[int] = []

    def count(noisy: Tensor, times: Tensor, context: Tensor | None) -> Tensor:
        asked.append(len(noisy))
        answer: Tensor = unet(noisy, times, context)
        return answer

    def drawn(**told: Tensor) -> Tensor:
        asked.clear()
        with torch.no_grad():
            # A row at a time: a library may round differently in batches of other lengths.
            return redraw(
                count,
                process,
                images,
                noise,
                TIMES,
                context=context,
                regions=regions,
                used=used,
                most=1,
                **told,
            )

    everything = drawn()
    assert sum(asked) == 3 * 4 * max(1, parts)
    found = drawn(roi=roi)
    assert sum(asked) == 3 * (3 if not parts else 4 if cells else 5)
    inside = roi.expand(3, -1, -1, -1, -1)
    assert torch.equal(found[inside], everything[inside])
    assert torch.equal(found[:, 0], images[:1].expand(3, -1, -1, -1))
    assert torch.equal(drawn(roi=torch.zeros_like(roi)), images.expand(3, -1, -1, -1, -1))
    assert not asked


def test_memory_bounds_the_batch() -> None:
    assert rows_at_once(torch.empty(1, 1, 64, 64), 32) == 16
    assert rows_at_once(torch.empty(1, 1, 64, 64, device="meta"), 32) == 256
    assert rows_at_once(torch.empty(1, 1, 96, 96), 128) == 1
    assert rows_at_once(torch.empty(1, 1, 256, 256), 128) == 1
