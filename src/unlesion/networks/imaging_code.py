"""How an image was taken, in a few numbers that do not know where anything is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer

SLOPE = 0.1
HALVINGS = 4
HIDDEN = 32
FIRST_LOG_VARIANCE = -4.0


class ImagingEncoder(nn.Module):
    """Anatomy and image to mean and log variance of a code.

    Four convolutions of stride 2, their mean over the roi (so that no place can be told), two linear layers. There is
    no normalisation: what it would take away is what is looked for.

    Args:
        inputs: planes in.
        width: channels.
        code: numbers in a code.
        dims: 2 or 3.
    """

    def __init__(self, inputs: int, *, width: int, code: int, dims: int = 2) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for level in range(HALVINGS):
            steps += [
                layer("Conv", dims)(width if level else inputs, width, 3, stride=2, padding=1),
                nn.LeakyReLU(SLOPE),
            ]
        self.steps = nn.Sequential(*steps)
        self.shared = nn.Sequential(nn.Linear(width, HIDDEN), nn.LeakyReLU(SLOPE))
        self.mean = nn.Linear(HIDDEN, code)
        self.log_variance = nn.Linear(HIDDEN, code)
        # Codes that begin as noise take hundreds of steps before anybody listens to them.
        nn.init.constant_(self.log_variance.bias, FIRST_LOG_VARIANCE)

    def forward(self, planes: Tensor, roi: Tensor) -> tuple[Tensor, Tensor]:
        """Planes (B, inputs, ...) and roi (B, 1, ...) to twice (B, code) float32; log variances within -10 to 10."""
        features = self.steps(planes).float()
        pool = nn.functional.adaptive_avg_pool2d if planes.ndim == 4 else nn.functional.adaptive_avg_pool3d
        weight = pool(roi.float(), features.shape[2:])  # type: ignore[arg-type]
        axes = tuple(range(2, features.ndim))
        hidden = self.shared((features * weight).sum(axes) / weight.sum(axes).clamp(min=1e-6))
        return self.mean(hidden).float(), self.log_variance(hidden).float().clamp(-10.0, 10.0)


def kl_to_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) in nats, mean over the batch."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(1).mean()


def sampled(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """The mean and noise times the standard deviation."""
    return torch.addcmul(mean, (0.5 * log_variance).exp(), noise)
