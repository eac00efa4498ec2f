"""The networks of `dal`, and what they make of a scan."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unlesion.networks.film import FilmRecoupler
from unlesion.networks.imaging_code import ImagingEncoder
from unlesion.networks.instance_unet import InstanceUNet
from unlesion.networks.patch_critic import PatchCritic
from unlesion.networks.running_quantile import RunningQuantile
from unlesion.networks.tissue_prior import TissuePrior

# The brightest grey value that the recipes leave.
CEILING = 1.5


class DALNetwork(nn.Module):
    """Parts that learn by gradients, the tissue prior, and quantiles of what healthy pixels look like."""

    def __init__(
        self,
        *,
        prior: TissuePrior,
        anatomy: InstanceUNet,
        imaging: ImagingEncoder,
        recoupler: FilmRecoupler,
        restorer: InstanceUNet,
        critic: PatchCritic | None,
    ) -> None:
        super().__init__()
        self.prior = prior
        self.anatomy = anatomy
        self.imaging = imaging
        self.recoupler = recoupler
        self.restorer = restorer
        if critic is not None:
            self.critic = critic
        self.residuals = RunningQuantile(0.0, CEILING)
        self.disagreements = RunningQuantile(0.0, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Redrawn:
    """A scan taken apart and put together again.

    Attributes:
        anatomy: (B, 1 + K, ...) of the scan; the first plane is the background.
        edges: (B, E, ...) what the restorer saw.
        restored: (B, 1 + K, ...) its anatomy.
        code: (B · C, n) imaging codes, channel after channel of every image.
        healthy: (B, C, ...) drawn from the restored one.
        disagreement: (B, ...) of the two anatomies, 0 to 1.
    """

    anatomy: Tensor
    edges: Tensor
    restored: Tensor
    code: Tensor
    healthy: Tensor
    disagreement: Tensor
