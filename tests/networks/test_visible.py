"""Encoders that see parts of an image, and the decoder that fills in the rest."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets.resnet import ResNet, resnet50
from torch import nn

from unlesion.methods.base import count_parameters
from unlesion.networks.context_encoder import ContextEncoder
from unlesion.networks.masked_decoder import MaskedDecoder
from unlesion.networks.visible import VisibleBatchNorm, draw_visible, on_grid, visible_only

SMALL = {"block": "basic", "layers": (1, 1, 1, 1), "widths": (4, 6, 8, 10), "halvings": 3}


def encoder(*, dims: int = 2, channels: int = 1, **settings: object) -> ContextEncoder:
    """A small one, none of whose weights are those of a new network."""
    torch.manual_seed(0)
    made = ContextEncoder(channels, **{**SMALL, **settings}, dims=dims)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return made.eval()


def drawn(number: int, grid: tuple[int, ...], masked: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return draw_visible(number, grid, masked=masked, generator=generator, device=torch.device("cpu"))


def test_the_published_mask_leaves_three_cells_of_nine() -> None:
    visible = drawn(200, (3, 3), 0.65)
    assert (visible.flatten(1).sum(1) == 3).all()
    # Every cell is as likely as any other.
    assert (visible.float().mean(0) - 1 / 3).abs().max() < 0.1
    assert torch.equal(visible, drawn(200, (3, 3), 0.65))
    assert not torch.equal(visible, drawn(200, (3, 3), 0.65, seed=1))


@pytest.mark.parametrize(("masked", "shown"), [(0.01, 3), (0.99, 1)])
def test_something_is_shown_and_something_is_hidden(masked: float, shown: int) -> None:
    assert (drawn(5, (2, 2), masked).flatten(1).sum(1) == shown).all()


def test_cells_on_a_finer_grid() -> None:
    visible = torch.tensor([[[[True, False], [False, True]]]])
    expected = torch.kron(torch.eye(2), torch.ones(3, 3)).bool()
    assert torch.equal(on_grid(visible, torch.zeros(1, 7, 6, 6))[0, 0], expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_statistics_are_those_of_visible_places(dims: int) -> None:
    torch.manual_seed(0)
    visible = drawn(4, (2,) * dims, 0.6)
    features = 3 + 2 * torch.randn(4, 5, *[4] * dims)
    shown = on_grid(visible, features)
    rows = features.movedim(1, -1)[shown[:, 0]]
    norm, plain = VisibleBatchNorm(5), nn.BatchNorm1d(5)
    with visible_only(norm, visible):
        found = norm(features)
        torch.testing.assert_close(found.movedim(1, -1)[shown[:, 0]], plain(rows))
        assert (found[~shown.expand_as(found)] == 0).all()
        # What is masked does not matter.
        assert torch.equal(norm(torch.where(shown, features, 100.0)), found)
    # Statistics kept are those of images seen whole, which a frozen encoder is shown.
    assert torch.equal(norm.running_mean, torch.zeros(5)) and torch.equal(norm.running_var, torch.ones(5))
    norm(features)
    everywhere = features.movedim(1, -1).reshape(-1, 5)
    torch.testing.assert_close(norm.running_mean, 0.1 * everywhere.mean(0))
    with visible_only(norm.eval(), visible):
        kept = norm(features).movedim(1, -1)[shown[:, 0]]
    torch.testing.assert_close(kept, (rows - norm.running_mean) / (norm.running_var + norm.eps).sqrt())
    # Outside the block it is a batch normalisation like any other.
    whole = nn.BatchNorm2d(5) if dims == 2 else nn.BatchNorm3d(5)
    torch.testing.assert_close(VisibleBatchNorm(5)(features), whole(features))


def test_a_single_visible_place_has_no_statistics() -> None:
    norm = VisibleBatchNorm(3)
    features = torch.randn(1, 3, 2, 2)
    with visible_only(norm, torch.tensor([[[[True, False], [False, False]]]])):
        found = norm(features)
    assert torch.equal(found[..., 0, 0], features[..., 0, 0])
    assert torch.equal(norm.running_mean, torch.zeros(3))


@pytest.mark.parametrize("halvings", [3, 4, 5])
def test_nothing_crosses_what_is_masked(halvings: int) -> None:
    """Features of a visible cell do not know of a visible cell beyond a masked one."""
    side = 2**halvings
    network = encoder(halvings=halvings)
    visible = torch.zeros(2, 1, 1, 3, dtype=torch.bool)
    visible[..., ::2] = True
    images = torch.rand(1, 1, side, 3 * side).repeat(2, 1, 1, 1)
    images[1, ..., 2 * side :] += torch.rand(side, side)
    images = images * on_grid(visible, images)
    with torch.no_grad():
        with visible_only(network, visible):
            hidden = network.features(images)
        through = network.features(images)
    for scale in hidden:
        cell = scale.shape[-1] // 3
        assert torch.equal(scale[0, ..., :cell], scale[1, ..., :cell])
        assert not torch.allclose(scale[0, ..., -cell:], scale[1, ..., -cell:], atol=1e-3)
        assert (scale[..., cell:-cell] == 0).all()
    # Without masking at every layer something does.
    assert not torch.allclose(through[-1][0, ..., 0], through[-1][1, ..., 0], atol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_where_all_is_visible_nothing_changes(dims: int) -> None:
    network = encoder(dims=dims).train()
    images = torch.rand(3, 1, *[16] * dims)
    plain = network.features(images)
    with visible_only(network, torch.ones(3, 1, *[2] * dims, dtype=torch.bool)):
        masked = network.features(images)
    for first, second in zip(plain, masked, strict=True):
        torch.testing.assert_close(first, second, atol=1e-4, rtol=1e-4)
    assert network.net.bn1.visible is None


def test_seen_whole_it_is_monais_network() -> None:
    network = encoder(halvings=5)
    oracle = ResNet(
        "basic",
        [1, 1, 1, 1],
        list(SMALL["widths"]),  # type: ignore[call-overload]
        spatial_dims=2,
        n_input_channels=1,
        conv1_t_stride=2,
        bias_downsample=False,
        feed_forward=False,
    ).eval()
    oracle.load_state_dict(network.net.state_dict())
    images = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(network(images), oracle(images))


def test_the_published_encoder_is_resnet50() -> None:
    with torch.device("meta"):
        made = ContextEncoder(1)
        whole = resnet50(
            spatial_dims=2, n_input_channels=1, conv1_t_stride=2, bias_downsample=False, num_classes=512
        )
    assert count_parameters(made) + 512 * 2048 + 512 == count_parameters(whole) == 24_550_848
    assert made.scales == (256, 512, 1024, 2048)


@pytest.mark.parametrize("halvings", [3, 4, 5])
@pytest.mark.parametrize("dims", [2, 3])
def test_scales(halvings: int, dims: int) -> None:
    network = encoder(dims=dims, channels=2, halvings=halvings)
    side = 2 << halvings if dims == 2 else 1 << halvings
    features = network.features(torch.rand(1, 2, *[side] * dims))
    assert tuple(scale.shape[1] for scale in features) == network.scales
    assert [scale.shape[-1] for scale in features] == [
        side >> halvings << place for place in reversed(range(len(features)))
    ]
    assert network(torch.rand(1, 2, *[side] * dims)).shape == (1, network.width)


@pytest.mark.parametrize("settings", [{"halvings": 2}, {"halvings": 6}, {"layers": (1, 1)}])
def test_other_shapes_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="ResNet"):
        encoder(**settings)


@pytest.mark.parametrize("halvings", [3, 5])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_decoder_knows_visible_features_and_a_token(halvings: int, dims: int) -> None:
    torch.manual_seed(0)
    scales = (4, 6, 8, 10)[-halvings:]
    decoder = MaskedDecoder(2, scales=scales, width=16, halvings=halvings, dims=dims)
    visible = drawn(2, (2,) * dims, 0.6)
    sides = [2 << place for place in reversed(range(len(scales)))]
    features = [torch.randn(2, scale, *[side] * dims) for scale, side in zip(scales, sides, strict=True)]
    images = decoder(features, visible)
    assert images.shape == (2, 2, *[2 << halvings] * dims)
    other = [torch.where(on_grid(visible, scale), scale, torch.rand(())) for scale in features]
    torch.testing.assert_close(decoder(other, visible), images)
    images.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in decoder.tokens)
    # Every scale matters where it is visible.
    for place in range(len(scales)):
        changed = [scale + (number == place) * scale.square() for number, scale in enumerate(features)]
        assert not torch.allclose(decoder(changed, visible), images, atol=1e-5)
