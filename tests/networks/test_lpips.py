"""LPIPS: the formula, weights from files, and what must not be read."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unlesion.errors import BadInput
from unlesion.networks.lpips import LPIPS
from unlesion.networks.squeezenet import TAP_WIDTHS, SqueezeNetFeatures

PUBLISHED = Path(str(files("torchmetrics") / "functional/image/lpips_models/squeeze.pth"))


def write_heads(folder: Path) -> Path:
    """The published weights of the heads, as safetensors."""
    path = folder / "squeeze.safetensors"
    save_file(torch.load(PUBLISHED, weights_only=True, map_location="cpu"), path)
    return path


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the weights of the heads."""
    return write_heads(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an untrained SqueezeNet, named as torchvision names them."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    classifier = {"classifier.1.weight": torch.zeros(1000, 512, 1, 1)}
    save_file({**SqueezeNetFeatures().state_dict(), **classifier}, path)
    return path


@pytest.fixture(scope="module")
def lpips(backbone: Path, heads: Path) -> LPIPS:
    network = LPIPS()
    network.read(backbone, heads)
    return network


def noisy(seed: int, channels: int = 1) -> Tensor:
    return torch.rand((2, channels, 64, 48), generator=torch.Generator().manual_seed(seed))


def test_parameters_as_published() -> None:
    # torchvision counts 1,235,496 with a classifier of 513,000.
    assert sum(p.numel() for p in SqueezeNetFeatures().parameters()) == 722_496


def test_like_the_formula(lpips: LPIPS, heads: Path) -> None:
    first, second = noisy(1), noisy(2)
    weights = load_file(heads)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    sd = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    # ImageNet's colours in 0 to 1 are, but for rounding, those of the paper's code in -1 to 1.
    a, b = (lpips.backbone((x.expand(-1, 3, -1, -1) - mean) / sd) for x in (first, second))
    expected = torch.zeros(2, 1, 64, 48)
    for place, width in enumerate(TAP_WIDTHS):
        assert a[place].shape[1] == width
        unit = [x[place] / x[place].square().sum(1, keepdim=True).sqrt() for x in (a, b)]
        weighted = nn.functional.conv2d(
            (unit[0] - unit[1]) ** 2, weights[f"lin{place}.model.1.weight"].reshape(1, width, 1, 1)
        )
        expected += nn.functional.interpolate(weighted, size=(64, 48), mode="bilinear", align_corners=False)
    found = lpips(first, second)
    assert float(found.max()) > 0.01
    torch.testing.assert_close(found, expected, rtol=0.05, atol=1e-3)


def test_alike_is_nothing_and_order_does_not_matter(lpips: LPIPS) -> None:
    first, second = noisy(1), noisy(2)
    assert float(lpips(first, first).abs().max()) == 0
    torch.testing.assert_close(lpips(first, second), lpips(second, first))
    assert float(lpips(first, second).min()) >= 0


def test_channels_are_shown_one_by_one(lpips: LPIPS) -> None:
    first, second = noisy(1, channels=2), noisy(2, channels=2)
    each = [lpips(first[:, [c]], second[:, [c]]) for c in range(2)]
    torch.testing.assert_close(lpips(first, second), (each[0] + each[1]) / 2)


def test_nothing_in_it_can_learn_and_a_state_holds_everything(lpips: LPIPS) -> None:
    assert not list(lpips.parameters())
    again = LPIPS()
    again.load_state_dict(lpips.state_dict())
    assert torch.equal(again(noisy(1), noisy(2)), lpips(noisy(1), noisy(2)))


def test_files_that_are_something_else(backbone: Path, heads: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.safetensors"
    text.write_text("weights")
    for path in (text, tmp_path / "missing.safetensors"):
        with pytest.raises(BadInput, match=path.name):
            LPIPS().read(path, heads)
    # It is refused by its name; nothing of it is read.
    with pytest.raises(BadInput, match=r"squeeze\.pth: give weights as \.safetensors"):
        LPIPS().read(backbone, PUBLISHED)
    with pytest.raises(BadInput, match=r"squeezenet1_1 file first"):
        LPIPS().read(heads, backbone)
