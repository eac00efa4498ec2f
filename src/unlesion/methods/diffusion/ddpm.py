"""Denoising diffusion: noise a scan, let a network that knows healthy images take the noise off.

`DDPM` is also what the other diffusion methods are made from: they override its hooks (`code`, `shown`,
`training_region`, `regions`, `used`, `judged`) and leave the rest alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unlesion.methods.base import InputSpec, Method, MethodConfig, Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.diffusion.config import DiffusionConfig
from unlesion.methods.rates import constant, cosine
from unlesion.methods.sizes import coarsest_grid
from unlesion.networks.diffusion.noise import Noise
from unlesion.networks.diffusion.one_step import redraw, rows_at_once
from unlesion.networks.diffusion.process import Process
from unlesion.networks.diffusion.samplers import ancestral, ddim, descent
from unlesion.networks.diffusion.unet import DiffusionUNet
from unlesion.networks.modes import asking
from unlesion.networks.precision import in_bfloat16
from unlesion.networks.roi import roi_mean
from unlesion.progress import tell

# Noise fields of an image: that of detection level k has number k, those of the steps of a chain follow; a level that is named
# again has its own.
SALT_OF_STEPS = 10_000
SALT_OF_REPEATS = 100_000_000
# Clean images in a chain are kept in this range, that of recipes.
DARKEST, BRIGHTEST = 0.0, 1.5


def to_signal(images: Tensor, grey: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    """Grey values of the recipe to those of the network: the two of `grey` become -1 and 1, others go beyond."""
    low, high = grey
    return 2 * (images - low) / (high - low) - 1


def to_grey(signal: Tensor, grey: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    """Grey values of the network to those of the recipe."""
    low, high = grey
    return low + (high - low) * (signal + 1) / 2


def salt_of(field: int, turn: int) -> int:
    """The salt of a noise field, for a level that was named `turn` times before."""
    return field + SALT_OF_REPEATS * turn


# A deviation that all methods of this family share.
SCALE = (
    "Grey values 0 and 1 of the recipe are -1 and 1 for the network (`grey`). Published is the range of tissue: beside MRI tissue, "
    "noise is about 1.4 times as strong here."
)


# The U-Net and its training, for all that are made from `ddpm`.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "tiny": {
        "image_size": 32, "batch": 16, "width": 8, "factors": (1, 1), "blocks": 1, "octaves": 4,
        "learning_rate": 3e-3, "anneal": True,
    },
    "cpu": {
        "image_size": 64, "batch": 16, "width": 32, "blocks": 1, "octaves": 5, "learning_rate": 1e-3,
        "anneal": True,
    },
    "gpu": {
        "image_size": 128, "batch": 32, "width": 64, "factors": (1, 2, 2, 2), "blocks": 2,
        "learning_rate": 3e-4, "anneal": True,
    },
    "paper": {"image_size": 96, "batch": 32},
}  # fmt: skip
# One look at a scan leaves the chance of its noise in the folds; the mean of a few hardly does.
DRAWS = (250, 250, 350, 350, 500, 500)
SEVERAL_LOOKS: Mapping[str, Mapping[str, Any]] = {
    **PRESETS,
    **{preset: {**PRESETS[preset], "t_test": DRAWS} for preset in ("cpu", "gpu")},
}


class DiffusionNetwork(nn.Module):
    """Holds the U-Net, and whatever else a method adds as further parts."""

    def __init__(self, unet: DiffusionUNet, **others: nn.Module) -> None:
        super().__init__()
        self.unet = unet
        for name, part in others.items():
            self.add_module(name, part)


class DDPM(Method):
    """Unconditional diffusion: the whole image is noised, and one look at it tells the healthy one."""

    name = "ddpm"
    family = "diffusion"
    title = "Denoising diffusion, redrawn in one step"
    citation = (
        "Ho, Jain, Abbeel. Denoising Diffusion Probabilistic Models. NeurIPS 2020; with simplex noise and one-step "
        "reconstruction as in the baseline of Behrendt et al., Guided Reconstruction with Conditioned Diffusion "
        "Models for Unsupervised Anomaly Detection in Brain MRIs, Computers in Biology and Medicine 2025."
    )
    deviations: ClassVar[tuple[str, ...]] = (
        SCALE,
        "The loss is averaged over the roi, the published one over all pixels of the image.",
        "Every image has a noise field of its own, cut from a bank; the released code has one for all of a batch.",
        "The simplex noise is scaled to the measured strength of the published one, not copied from its code.",
        "The weights are exponential averages of the last ones; the published ones are the best on healthy validation scans.",
        "The learning rate of the paper preset is that of the released code (1e-4), the paper says 1e-5.",
        "Training length comes from the budget; images are not augmented unless training.contrast or training.mirror say so.",
        "The cpu and gpu presets average six images, two from each of the levels 250, 350 and 500; published are one or three.",
        "The tiny, cpu and gpu presets are smaller, with a higher learning rate that follows a cosine to 0, and without octaves of "
        "noise shorter than 2 pixels.",
        "Published post-processing is common to all methods here, in mm.",
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = SEVERAL_LOOKS
    # Half of its layers are group normalisation: in bfloat16 training steps of `cpu` are shorter so on a CPU.
    channels_last = False
    native: ClassVar[Mapping[str, Any]] = {"rule": "residual"}
    Config: ClassVar[type[MethodConfig]] = DiffusionConfig
    config: DiffusionConfig

    def __init__(self, config: MethodConfig, spec: InputSpec) -> None:
        super().__init__(config, spec)
        coarsest_grid(spec, len(self.config.factors) - 1, method=self.name)

    @cached_property
    def process(self) -> Process:
        """The forward process."""
        return self.config.process

    @cached_property
    def noise(self) -> Noise:
        """What the images are noised with."""
        return self.config.noise_of(self.config.noise)

    # Hooks of the methods made from this one.

    def code(self, network: nn.Module, images: Tensor, batch: Batch) -> Tensor | None:
        """What the U-Net is told of each clean image besides the time; None: nothing.

        Args:
            network: of `build`, to find an encoder in.
            images: (B, C, ...) in grey values, 0 outside the roi.
            batch: where they come from.

        Returns:
            (B, n), with gradients wherever parts of it learn.
        """
        return None

    def shown(self, images: Tensor, batch: Batch, context: StepContext) -> Tensor:
        """The images that are noised in training, (B, C, ...) in grey values; the target stays the clean ones."""
        return images

    def training_region(self, batch: Batch, context: StepContext) -> Tensor | None:
        """Where a training image is noised and judged, (B, 1, ...) bool; None: everywhere."""
        return None

    def regions(self, device: torch.device) -> Tensor | None:
        """The regions that are noised and redrawn one after another at detection, (N, 1, ...) bool; None: all at once."""
        return None

    def used(self, device: torch.device) -> Tensor | None:
        """The part of each of `regions` whose answer is used, (N, 1, ...) bool; None: all of it, averaged."""
        return None

    def judged(self, error: Tensor, times: Tensor) -> Tensor:
        """What the loss is taken of, from how far answers are from what was wanted; both (B, C, ...)."""
        return error

    # What the hooks act in.

    def unet(self, *, context: int = 0) -> DiffusionUNet:
        """The U-Net of the settings, told a code of `context` numbers if above 0."""
        return DiffusionUNet(**self.config.unet_settings(self.spec), context=context)

    def build(self) -> nn.Module:
        """One part, `unet`."""
        return DiffusionNetwork(self.unet())

    def stages(self) -> list[Stage]:
        """One stage."""
        return [self.diffusion_stage()]

    def diffusion_stage(self, *, parts: tuple[str, ...] = ("unet",), share: float = 1.0) -> Stage:
        """The stage in which the U-Net learns, and whatever other parts learn with it."""
        config = self.config
        optimizer = partial(torch.optim.AdamW, lr=config.learning_rate, weight_decay=config.weight_decay)
        phase = Phase(name="denoise", parts=parts, loss=self.denoising_loss, optimizer=optimizer)
        return Stage(
            name="diffusion", phases=(phase,), share=share, schedule=cosine if config.anneal else constant
        )

    def denoising_loss(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Noise a batch at random levels and compare what the network tells with what it should.

        The mean is over the roi: what lies outside is never used, and the network need not spend itself on it.
        """
        assert isinstance(network, DiffusionNetwork)
        config, process, generator = self.config, self.process, context.generator
        images = batch.images * batch.roi
        times = torch.randint(config.train_levels, (len(batch),), generator=generator).to(images.device)
        noise = self.noise.training(
            images.shape, generator=generator, device=images.device, shared=config.shared_field
        )
        clean = to_signal(images, config.grey)
        source = to_signal(self.shown(images, batch, context), config.grey)
        noisy = process.noisy(source, noise, times)
        region = self.training_region(batch, context)
        seen = noisy if region is None else torch.where(region, noisy, source)
        answer = network.unet(seen, times, self.code(network, images, batch)).float()
        error = self.judged(answer - process.wanted(clean, noise, times), times)
        error = error.abs() if config.loss == "l1" else error.square()
        return {"loss": roi_mean(error, batch.roi if region is None else batch.roi & region)}

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """The redrawn image is the healthy one, mean over `t_test`; images without any roi are not looked at."""
        healthy = torch.zeros_like(batch.images)
        there = batch.roi.flatten(1).any(1)
        if there.any():
            with asking(network):
                healthy[there] = self.redrawn(network, batch.pick(there)).mean(0)
        return Evidence(healthy=healthy * batch.roi)

    def redrawn(self, network: nn.Module, batch: Batch, *, code: Tensor | None = None) -> Tensor:
        """Images redrawn from each of `t_test`: (K, B, C, ...) in grey values, not clipped, not cut to the roi.

        Regions without any roi stay as they are.

        Args:
            network: in evaluation mode.
            batch: the images.
            code: (B, n) to tell instead of the images' own.
        """
        assert isinstance(network, DiffusionNetwork)
        device = batch.images.device.type
        with torch.autocast(device, torch.bfloat16, enabled=in_bfloat16(self.config.precision, device)):
            return self._redrawn(network, batch, code)

    def _redrawn(self, network: DiffusionNetwork, batch: Batch, code: Tensor | None) -> Tensor:
        images = batch.images * batch.roi
        code = self.code(network, images, batch) if code is None else code
        most = rows_at_once(images, self.config.width)
        if self.config.sampler == "one-step":
            noise = torch.stack([self._field(batch, level, turn) for level, turn in self._levels()])
            drawn = redraw(
                network.unet,
                self.process,
                to_signal(images, self.config.grey),
                noise,
                [level - 1 for level in self.config.t_test],
                context=code,
                regions=self.regions(images.device),
                used=self.used(images.device),
                roi=batch.roi,
                most=most,
            )
            return to_grey(drawn, self.config.grey)
        pieces = []
        for rows in torch.arange(len(batch)).split(most):
            part = batch.pick(rows)
            told = None if code is None else code[rows.to(code.device)]
            pieces.append(torch.stack([self._chain(network, part, told, *level) for level in self._levels()]))
        return torch.cat(pieces, dim=1)

    def _levels(self) -> list[tuple[int, int]]:
        """The levels of `t_test`, and how often each was named before."""
        levels = self.config.t_test
        return [(level, levels[:place].count(level)) for place, level in enumerate(levels)]

    def _field(self, batch: Batch, level: int, turn: int = 0) -> Tensor:
        """(B, C, ...) noise of a detection level; the level and its turn are the salt, so each has its own."""
        return self._drawn(self.noise, batch, salt=salt_of(level, turn), shared=self.config.shared_field)

    def _drawn(self, noise: Noise, batch: Batch, *, salt: int, shared: bool) -> Tensor:
        channels, *sides = batch.images.shape[1:]

        def draw(generator: torch.Generator) -> Tensor:
            return noise.fields(1, channels, tuple(sides), generator)[0]

        if not shared:
            return batch.drawn(draw, salt=salt)
        # The same for all images whatsoever: nobody depends on a neighbour.
        field = draw(torch.Generator(device="cpu").manual_seed(salt))
        return field.to(batch.images.device).expand_as(batch.images)

    def _chain(
        self, network: DiffusionNetwork, batch: Batch, code: Tensor | None, level: int, turn: int
    ) -> Tensor:
        """(B, C, ...) in grey values: noised to a level and led back step by step."""
        config, process = self.config, self.process
        roi = batch.roi
        signal = to_signal(batch.images * roi, config.grey)
        darkest, brightest = (
            float(to_signal(torch.tensor(end), config.grey)) for end in (DARKEST, BRIGHTEST)
        )

        def answer(noisy: Tensor, times: Tensor) -> Tensor:
            result: Tensor = network.unet(noisy, times, code)
            return result

        def correct(clean: Tensor) -> Tensor:
            # Outside the roi the image is known, and the network was never judged there.
            return torch.where(roi, clean.clamp(darkest, brightest), darkest)

        def fresh(step: int) -> Tensor:
            salt = salt_of(SALT_OF_STEPS * level + step, turn)
            return self._drawn(config.noise_of(config.step_noise), batch, salt=salt, shared=False)

        def report(done: int, steps: int) -> None:
            tell(f"noise level {level}: step {done} of {steps} for {len(batch)} images")

        times = torch.full((len(batch),), level - 1, device=signal.device)
        noisy = process.noisy(signal, self._field(batch, level, turn), times)
        if config.sampler == "ddim":
            path = descent(level - 1, config.steps)
            return to_grey(ddim(answer, process, noisy, path, correct=correct, report=report), config.grey)
        return to_grey(
            ancestral(answer, process, noisy, level - 1, fresh=fresh, correct=correct, report=report),
            config.grey,
        )
