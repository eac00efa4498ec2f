"""mDDPM: the network is shown masked images and asked for whole ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.methods.scenes import blob_batch, built, tiny, train
from tests.methods.test_ddpm import Asked, context, network_of
from unlesion.methods.diffusion.ddpm import to_signal
from unlesion.methods.diffusion.mddpm import MDDPM
from unlesion.methods.registry import describe

KINDS = pytest.mark.parametrize("masking", ["ipm", "fpm", "cm"])
FORMS = pytest.mark.parametrize(("size", "dims", "channels"), [(32, 2, 1), (32, 2, 3), (16, 3, 2)])


def mddpm(size: int = 32, dims: int = 2, channels: int = 1, **settings: Any) -> MDDPM:
    made = tiny("mddpm", size=size, dims=dims, channels=channels, **settings)
    assert isinstance(made, MDDPM)
    return made


def test_the_paper_preset_is_the_published_network() -> None:
    assert describe("mddpm")["presets"]["paper"]["parts"] == {"unet": 37_513_857}


@KINDS
@FORMS
def test_what_is_masked(masking: str, size: int, dims: int, channels: int) -> None:
    method = mddpm(size, dims, channels, masking=masking)
    batch = blob_batch(60, size=size, dims=dims, channels=channels)
    shown = method.shown(batch.images, batch, context())
    assert shown.shape == batch.images.shape and shown.dtype == torch.float32
    assert (shown[~batch.roi.expand_as(shown)] == 0).all()
    changed = shown != batch.images
    touched = changed.flatten(1).any(1)
    assert 0.6 < float(touched.float().mean()) < 1.0  # One in six is left whole.
    share = changed.flatten(1).sum(1) / batch.roi.expand_as(changed).flatten(1).sum(1)
    if masking == "fpm":
        assert float(share[touched].min()) > 0.9
    else:
        # At most five rectangles of 0.18 sides of the bounding box; the roi is smaller than that box.
        assert float(share.max()) <= 5 * 0.25**dims / 0.5
    if masking == "ipm":
        assert (shown[changed] == 0).all()
    else:
        assert (shown[changed] != 0).any()


@KINDS
def test_the_target_stays_clean(masking: str) -> None:
    method = mddpm(box=1.0, masking=masking, rectangle=0.5)
    batch = blob_batch(16)
    clean = to_signal(batch.images)
    knowing = Asked(lambda noisy, times: clean)
    assert float(method.denoising_loss(network_of(knowing), batch, context())["loss"]) == 0.0
    # Asking for the noise of next to none, the network still sees what is masked.
    unet = Asked(lambda noisy, times: noisy)
    quiet = mddpm(box=1.0, masking=masking, rectangle=0.5, train_levels=1, t_test=(1,))
    copied = quiet.denoising_loss(network_of(unet), batch, context())["loss"]
    plain = tiny("pddpm", box=1.0, train_levels=1, t_test=(1,))
    unmasked = plain.denoising_loss(network_of(unet), batch, context())["loss"]  # type: ignore[attr-defined]
    assert float(copied) > 2 * float(unmasked)


def test_outside_the_box_masked_images_have_no_noise() -> None:
    method = mddpm()
    batch = blob_batch(8)
    unet = Asked()
    method.denoising_loss(network_of(unet), batch, context())
    generator = context().generator
    torch.randint(1000, (8,), generator=generator)
    method.noise.training(batch.images.shape, generator=generator, device=batch.images.device)
    again = context()
    again.generator.set_state(generator.get_state())
    shown = to_signal(method.shown(batch.images, batch, again))
    region = method.training_region(batch, again)
    assert torch.equal(unet.seen[0][~region], shown[~region])
    assert (shown != to_signal(batch.images)).any()


def test_at_detection_nothing_is_masked() -> None:
    batch = blob_batch(3)
    network = built(mddpm())
    train(mddpm(), network, batch, steps=3)
    boxed = tiny("pddpm").explain(network, batch).healthy
    for masking in ("ipm", "fpm", "cm"):
        assert torch.equal(mddpm(masking=masking).explain(network, batch).healthy, boxed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target": "eps"}, "drawn whole"),
        ({"frequencies": (0.2, 0.1)}, "must rise"),
        ({"frequencies": (0.2, 0.6)}, "0.5 at most"),
        ({"masking": "mim"}, "ipm"),
        ({"sampler": "ddim"}, "one step"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MDDPM.config_for("tiny", settings)
