"""LPIPS with SqueezeNet: how differently people would find two images, for those who have its weights."""

from __future__ import annotations

from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from unlesion.errors import BadInput
from unlesion.networks.squeezenet import TAP_WIDTHS, SqueezeNetFeatures

# Mean and standard deviation of natural images in -1 to 1, one per colour.
MEAN = (-0.030, -0.088, -0.188)
SD = (0.458, 0.448, 0.450)


class LPIPS(nn.Module):
    """Squared distances of unit feature vectors, each channel weighted by how much people mind it.

    All weights are buffers: they come from files, no optimiser or average touches them, and they are saved with
    a run, which then needs the files no more.

    Source: Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018, eq. 1.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.backbone = SqueezeNetFeatures()
        for place, width in enumerate(TAP_WIDTHS):
            self.register_buffer(f"head{place}", torch.zeros(width))
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("sd", torch.tensor(SD).reshape(1, 3, 1, 1))
        _settle(self)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """How different two images look at each pixel.

        Args:
            first: (B, C, H, W), 0 to 1. Each channel is shown as a grey picture by itself.
            second: the same.

        Returns:
            (B, 1, H, W) float32, >= 0; the mean over channels.
        """
        number, channels, *size = first.shape
        total = first.new_zeros((number * channels, 1, *size), dtype=torch.float32)
        shown = [self.backbone(self._coloured(images)) for images in (first, second)]
        for place, (a, b) in enumerate(zip(*shown, strict=True)):
            a, b = (x.float() / (x.float().norm(dim=1, keepdim=True) + 1e-10) for x in (a, b))
            head = getattr(self, f"head{place}").reshape(1, -1, 1, 1)
            distance = ((a - b).square() * head).sum(1, keepdim=True)
            total += nn.functional.interpolate(distance, size=size, mode="bilinear", align_corners=False)
        return total.unflatten(0, (number, channels)).mean(1)

    def _coloured(self, images: Tensor) -> Tensor:
        grey = images.float().flatten(0, 1).unsqueeze(1) * 2.0 - 1.0
        return (grey.expand(-1, 3, -1, -1) - self.mean) / self.sd

    def read(self, backbone: Path, heads: Path) -> None:
        """Take weights from .safetensors files, with the names that their authors gave them.

        Args:
            backbone: of torchvision's SqueezeNet 1.1.
            heads: of the package lpips, its `weights/v0.1/squeeze.pth`.

        Raises:
            BadInput: a file cannot be read, or does not hold these weights.
        """
        features = {k: v for k, v in _weights(backbone).items() if k.startswith("features.")}
        linear = _weights(heads)
        try:
            self.backbone.load_state_dict(features)
            for place, width in enumerate(TAP_WIDTHS):
                weight = linear[f"lin{place}.model.1.weight"]
                getattr(self, f"head{place}").copy_(weight.reshape(width))
        except (RuntimeError, KeyError) as error:
            raise BadInput(
                f"{backbone} and {heads}: not the weights of SqueezeNet 1.1 and of LPIPS for it; give torchvision's "
                "squeezenet1_1 file first and lpips' weights/v0.1/squeeze second"
            ) from error


def _settle(module: nn.Module) -> None:
    """Make all parameters buffers of the same names."""
    for child in module.modules():
        for name, parameter in list(child.named_parameters(recurse=False)):
            delattr(child, name)
            child.register_buffer(name, parameter.detach())


def _weights(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        # Other files hold pickles, which may run code.
        raise BadInput(f"{path}: give weights as .safetensors; the card of ra says how to convert them")
    try:
        found: dict[str, Tensor] = load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise BadInput(f"{path}: cannot be read as network weights ({error})") from error
    return found
