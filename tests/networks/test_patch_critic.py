"""The patch critic and its soft-mask game."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter

from unlesion.methods.base import count_parameters
from unlesion.networks.patch_critic import PatchCritic, critic_loss, deception_loss


def test_published_size() -> None:
    with torch.device("meta"):
        critic = PatchCritic(1, widths=(64, 128, 256, 512))
    expected = 16 * (1 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 16 * 512 + 1
    assert count_parameters(critic) == expected


@pytest.mark.parametrize(("channels", "dims"), [(1, 2), (2, 2), (1, 3)])
def test_it_answers_on_pixels(channels: int, dims: int) -> None:
    critic = PatchCritic(channels, widths=(4, 8, 8), dims=dims)
    said = critic(torch.rand(2, channels, *[16] * dims))
    assert said.shape == (2, 1, *[16] * dims)


def test_norms_of_its_convolutions_come_to_one() -> None:
    torch.manual_seed(0)
    critic = PatchCritic(1, widths=(8, 8, 8))
    critic.train()
    with torch.no_grad():
        for step in critic.steps:
            if hasattr(step, "parametrizations"):
                step.parametrizations.weight.original.mul_(7.0)  # type: ignore[union-attr,operator]
        for _ in range(50):
            critic(torch.rand(1, 1, 32, 32))
    critic.eval()
    assert sum(hasattr(step, "parametrizations") for step in critic.steps) == 3
    for step in critic.steps:
        if hasattr(step, "parametrizations"):
            matrix = step.weight.detach().flatten(1)  # type: ignore[operator,union-attr]
            assert float(torch.linalg.matrix_norm(matrix, 2)) == pytest.approx(1.0, rel=1e-2)


def test_norms_are_estimated_exactly_under_autocast() -> None:
    images = torch.rand(2, 1, 32, 32)
    states = []
    for autocast in (False, True):
        torch.manual_seed(0)
        critic = PatchCritic(1, widths=(8, 8, 8))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            said = critic(images)
        said.sum().backward()
        assert said.dtype == torch.float32
        assert all(p.grad is not None for p in critic.parameters())
        states.append(
            {key: value for key, value in critic.state_dict().items() if key.endswith(("_u", "_v"))}
        )
    assert states[0]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_losses_of_known_answers() -> None:
    mask = torch.zeros(1, 1, 41, 41, dtype=torch.bool)
    mask[..., 15:26, 15:26] = True
    blurred = torch.from_numpy(gaussian_filter(mask[0, 0].float().numpy(), 3.0, truncate=3.0))[None, None]
    nothing = torch.zeros(1, 1, 41, 41)
    # A critic that finds the soft mask, and nothing in real images, has nothing left to learn.
    assert float(critic_loss(blurred, nothing, mask, 3.0)) == pytest.approx(0.0, abs=1e-6)
    assert float(critic_loss(blurred, nothing + 0.5, mask, 3.0)) == pytest.approx(0.25, abs=1e-5)
    assert float(critic_loss(nothing, nothing, mask, 0.0)) == pytest.approx(121 / 41**2)
    # A generator is judged inside the mask alone: by default for looking drawn.
    assert float(deception_loss(mask.float(), mask)) == pytest.approx(1.0)
    assert float(deception_loss(1.0 - mask.float(), mask)) == pytest.approx(0.0)
    assert float(deception_loss(mask.float(), mask, goal=1.0)) == pytest.approx(0.0)
    assert float(deception_loss(mask.float(), torch.zeros_like(mask))) == 0.0


def test_what_it_looked_at_is_what_it_says_this_of() -> None:
    torch.manual_seed(0)
    critic = PatchCritic(2, widths=(4, 8, 8)).eval()
    images = torch.rand(3, 2, 16, 16)
    said, seen = critic.looked(images)
    assert torch.equal(said, critic(images))
    assert [tuple(features.shape[1:]) for features in seen] == [(4, 8, 8), (8, 4, 4), (8, 3, 3)]
    torch.testing.assert_close(critic.steps[2:4](seen[0]), seen[1])
