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

    Four convolutions of stride 2 and their mean over the roi, beside it the mean grey value of every class; two linear
    layers. Places can hardly be told from means. There is no normalisation: what it would take away is what is looked for.

    Args:
        classes: planes of the anatomy.
        width: channels.
        code: numbers in a code.
        dims: 2 or 3.
    """

    def __init__(self, classes: int, *, width: int, code: int, dims: int = 2) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for level in range(HALVINGS):
            steps += [
                layer("Conv", dims)(width if level else classes + 1, width, 3, stride=2, padding=1),
                nn.LeakyReLU(SLOPE),
            ]
        self.steps = nn.Sequential(*steps)
        self.shared = nn.Sequential(nn.Linear(width + classes, HIDDEN), nn.LeakyReLU(SLOPE))
        self.mean = nn.Linear(HIDDEN, code)
        self.log_variance = nn.Linear(HIDDEN, code)
        # Codes that begin as noise take hundreds of steps before anybody listens to them: torch's own weights would
        # make them a thousand times smaller than their noise.
        nn.init.constant_(self.log_variance.bias, FIRST_LOG_VARIANCE)
        for part in (*self.steps, *self.shared, self.mean):
            if not isinstance(part, nn.LeakyReLU):
                nn.init.kaiming_normal_(part.weight, a=SLOPE)

    def forward(self, anatomy: Tensor, images: Tensor, roi: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of codes, each (B, code) float32; log variances lie within -10 and 10.

        Args:
            anatomy: (B, classes, ...).
            images: (B, 1, ...).
            roi: (B, 1, ...) bool.
        """
        features = self.steps(torch.cat([anatomy, images], dim=1)).float()
        pool = nn.functional.adaptive_avg_pool2d if images.ndim == 4 else nn.functional.adaptive_avg_pool3d
        weight = pool(roi.float(), features.shape[2:])  # type: ignore[arg-type]
        axes = tuple(range(2, features.ndim))
        pooled = (features * weight).sum(axes) / weight.sum(axes).clamp(min=1e-6)
        hidden = self.shared(torch.cat([pooled, _class_greys(anatomy, images, roi)], dim=1))
        return self.mean(hidden).float(), self.log_variance(hidden).float().clamp(-10.0, 10.0)


def _class_greys(anatomy: Tensor, images: Tensor, roi: Tensor) -> Tensor:
    """(B, classes) mean grey value of each class in the roi, those of rare ones near the image's own mean; about 1 wide."""
    axes = tuple(range(2, images.ndim))
    inside = roi.float()
    pixels = inside.sum(axes).clamp(min=1.0)
    mean = (images * inside).float().sum(axes) / pixels
    share = (anatomy * inside).float().sum(axes)
    few = 0.002 * pixels
    greys = ((anatomy * images * inside).float().sum(axes) + few * mean) / (share + few)
    return 4.0 * (greys - 0.5)


def kl_to_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) in nats, mean over the batch."""
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(1).mean()


def sampled(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """The mean and noise times the standard deviation."""
    return torch.addcmul(mean, (0.5 * log_variance).exp(), noise)
