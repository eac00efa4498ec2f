"""DAL: a scan is taken apart into anatomy and imaging, its anatomy redrawn from edges alone, and put together again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from unlesion.errors import BadInput
from unlesion.methods.anatomy.code_losses import leak, recovery_error
from unlesion.methods.anatomy.corruption import corrupted, edges_of
from unlesion.methods.anatomy.dal_config import PRESETS, DALConfig
from unlesion.methods.anatomy.dal_network import CEILING, DALNetwork, Redrawn
from unlesion.methods.anatomy.views import channels_apart, joined, make_views
from unlesion.methods.base import Method, Phase, Stage, StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.sizes import coarsest_grid, critic_fits
from unlesion.networks.agreement import most_alike
from unlesion.networks.draws import normal
from unlesion.networks.film import FilmRecoupler
from unlesion.networks.hinge import hinge_critic_loss, hinge_deception_loss
from unlesion.networks.imaging_code import HALVINGS, ImagingEncoder, kl_to_standard, sampled
from unlesion.networks.instance_unet import InstanceUNet
from unlesion.networks.modes import asking
from unlesion.networks.one_hot import differentiable_one_hot, with_background
from unlesion.networks.overlap import cross_entropy, disagreement, grouped, jensen_shannon, soft_dice_loss
from unlesion.networks.patch_critic import PatchCritic
from unlesion.networks.regrade import regraded
from unlesion.networks.roi import roi_mean
from unlesion.networks.similarity_loss import similarity_loss
from unlesion.networks.tissue_prior import TissuePrior

# Evidence is divided by this quantile of healthy pixels before it is added up.
HEALTHY_QUANTILE = 0.99
# The code is read again off so much of the roi, where the drawing is most like the scan.
TRUSTED = 0.9
# Of every so many steps one looks at how a healthy image is redrawn.
COUNTED = 4


class DisentangledAnatomy(Method):
    """DAL-style, reconstructed from the abstract. Maps: `fused`, its own; `residual` and `disagreement`, its parts."""

    name = "dal"
    family = "anatomy"
    title = "Disentangled anatomy, restored from its edges"
    citation = (
        "Yang, Wang, Liu, Gong, Wu, Wang, Wang. Disentangled Anatomy Learning for unsupervised anomaly detection in "
        "brain MRI. Medical Image Analysis 109, 2026, 103922 (arXiv 2512.21924). Known to us: the abstract."
    )
    deviations: ClassVar[tuple[str, ...]] = (
        "Reconstructed: the abstract fixes the modules and what they are for; every layer, weight and operator is our choice.",
        "Brain anatomical priors are tissues by EM over grey values, position and neighbours, split into parts by grey value, "
        "or EM with nilearn's MNI152 template as the map of positions; no registration, the template is stretched to the roi's box.",
        "Where the order of tissues is not known by the modality's name (T1, T2, FLAIR), classes are numbered by brightness "
        "and have no anatomical meaning; so it is on X-rays. Parts of a tissue run from dark to bright, on T2 from bright to dark; on FLAIR, "
        "where grey matter is brighter than white, they mean other mixtures than on T1.",
        "Two contrasts of one subject are used where they are channels of one scan; rows of the same subject in different "
        "contrasts are not paired, and random maps of grey values stand in.",
        "There is no class for other tissue; fluid, grey and white matter have parts instead.",
        "No adversarial, perceptual or patch-contrastive loss in the first stage, and no joint fine-tuning at the end.",
        "The restorer learns from lesions of a kind: regions of a random grey, painted into healthy images before their anatomy is found, "
        "which weigh five times as much as the rest (`spurious`, `spurious_weight`).",
        "Beside the edges, a scan reaches its healthy image through the imaging code, which is read again with parts of the restored "
        "anatomy, and through a robust fit of grey values, eleven numbers a channel (`robust`, `regrade`).",
        "The critic's last convolution has no spectral norm; with `operator=gumbel` the temperature falls, too.",
        "Maps are divided by quantiles of healthy training pixels before they are added, not of validation ones.",
        "The weights kept are the last, averaged ones of each stage; training length comes from the budget.",
        "The tiny, cpu and gpu presets have smaller networks, higher learning rates, and edges of each class apart; tiny and cpu "
        "leave out the loss of each view from its own anatomy, and cpu the critic.",
    )
    presets = PRESETS
    native = {"rule": "map:fused"}
    # Instance normalisation and the small widths are slower so in bfloat16.
    channels_last = False
    version = 3
    # Random contrasts brought air into the brain.
    reads: ClassVar[frozenset[int]] = frozenset({2})
    Config = DALConfig
    config: DALConfig

    @property
    def classes(self) -> int:
        """Planes of the anatomy without the background."""
        return self.config.tissues * self.config.subclasses

    def build(self) -> nn.Module:
        """Parts `prior`, `residuals`, `disagreements` (no parameters), and five networks."""
        config, spec = self.config, self.spec
        planes, dims = self.classes + 1, spec.dims
        deepest = max(len(config.anatomy_widths), len(config.restorer_widths)) - 1
        coarsest_grid(spec, deepest, method=self.name)
        if config.adversarial:
            critic_fits(spec, config.critic_widths, method=self.name)
        if spec.size < 1 << HALVINGS:
            raise BadInput(f"{self.name} needs {1 << HALVINGS} pixels a side; set recipe.size")
        if config.prior == "template" and config.tissues != 3:
            raise BadInput("the template knows three tissues; set method.tissues=3 or method.prior=em")
        edges = config.planes(self.classes)
        return DALNetwork(
            prior=TissuePrior(config.tissues, subclasses=config.subclasses, dims=dims),
            anatomy=InstanceUNet(1, self.classes, widths=config.anatomy_widths, dims=dims),
            imaging=ImagingEncoder(planes, width=config.imaging_width, code=config.code, dims=dims),
            recoupler=FilmRecoupler(
                planes,
                width=config.film_width,
                blocks=config.film_blocks,
                code=config.code,
                ceiling=CEILING,
                dims=dims,
            ),
            # Beside the edges it sees the roi and the height of the slice.
            restorer=InstanceUNet(edges + 2, self.classes, widths=config.restorer_widths, dims=dims),
            critic=PatchCritic(planes + edges, widths=config.critic_widths, dims=dims)
            if config.adversarial
            else None,
        )

    def stages(self) -> list[Stage]:
        """`disentangle`: anatomy, imaging and what joins them; `restore`: anatomy from edges, with the rest frozen."""
        config = self.config
        parting = Phase(
            name="parting",
            parts=("anatomy", "imaging", "recoupler", "prior"),
            loss=self._parting_turn,
            optimizer=partial(torch.optim.Adam, lr=config.learning_rate, betas=(0.5, 0.999)),
            clip_norm=config.clip_norm,
        )
        adam = partial(torch.optim.Adam, lr=config.restoring_rate, betas=(0.5, 0.999))
        restorer = Phase(
            name="restorer",
            parts=("restorer", "residuals", "disagreements"),
            loss=self._restorer_turn,
            optimizer=adam,
            clip_norm=config.clip_norm,
        )
        critic = Phase(
            name="critic", parts=("critic",), loss=self._critic_turn, optimizer=adam, same_batch=True
        )
        share = config.disentangling
        restoring = (restorer, critic) if config.adversarial else (restorer,)
        return [
            Stage(name="disentangle", phases=(parting,), share=share),
            Stage(name="restore", phases=restoring, share=1.0 - share),
        ]

    def against_recontrast(self) -> str:
        """The prior reads tissues off grey values: dark on T1 is fluid."""
        if self.config.prior == "none":
            return ""
        return (
            "dal's prior reads tissues off grey values, and dal draws random contrasts itself; leave it at 0, or set "
            "method.prior=none"
        )

    # First stage

    def _parting_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Each view from the anatomy of the other, with its own imaging code."""
        assert isinstance(network, DALNetwork)
        config = self.config
        temperature = config.temperature_at(context.progress)
        views = make_views(network.prior, batch, config, context.generator)
        both, roi = torch.cat([views.first, views.second]), views.roi.repeat(2, *[1] * (views.roi.ndim - 1))
        logits = network.anatomy(both).float()
        anatomy = self._anatomy(logits, roi, temperature, context.generator)
        mean, log_variance = network.imaging(anatomy.detach(), both, roi)
        noise = normal(tuple(mean.shape), generator=context.generator, device=mean.device)
        code = sampled(mean, log_variance, noise)
        swapped = torch.cat(list(reversed(anatomy.chunk(2))))
        terms = {}
        if config.cross_weight:
            terms["cross"] = config.cross_weight * self._unlike(network, swapped, code, both, roi)
        if config.self_weight:
            terms["self"] = config.self_weight * self._unlike(network, anatomy, code, both, roi)
        if config.invariance:
            one, other = logits.softmax(1).chunk(2)
            terms["invariance"] = config.invariance * jensen_shannon(one, other, views.roi)
        if views.tissues is not None:
            terms["prior"] = config.prior_weight_at(context.progress) * self._from_prior(
                logits, views.tissues, roi
            )
        terms["kl"] = config.kl * kl_to_standard(mean, log_variance)
        if config.code_recovery:
            terms["code"] = config.code_recovery * recovery_error(
                network, anatomy.chunk(2)[0], views.roi, numbers=config.code, generator=context.generator
            )
        if config.leak:
            terms["leak"] = config.leak * leak(network, anatomy, both, roi, mean, generator=context.generator)
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def _anatomy(
        self, logits: Tensor, roi: Tensor, temperature: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """(B, K, ...) logits to (B, 1 + K, ...) anatomy."""
        one_hot = differentiable_one_hot(
            logits, temperature=temperature, operator=self.config.operator, generator=generator
        )
        return with_background(one_hot, roi)

    def _unlike(
        self, network: DALNetwork, anatomy: Tensor, code: Tensor, images: Tensor, roi: Tensor
    ) -> Tensor:
        """How unlike the images is what is drawn from an anatomy and a code."""
        return self._distance(network.recoupler(anatomy, code) * roi, images, roi)[0]

    def _distance(self, drawn: Tensor, images: Tensor, roi: Tensor) -> tuple[Tensor, Tensor]:
        """Absolute error and, by its weight, 1 - SSIM; and the error alone."""
        error = roi_mean((drawn - images).abs(), roi)
        if not self.config.similarity:
            return error, error
        return error + self.config.similarity * similarity_loss(drawn, images, roi), error

    def _from_prior(self, logits: Tensor, tissues: Tensor, roi: Tensor) -> Tensor:
        """Cross entropy and soft Dice of both views against the prior of the one."""
        wanted = torch.cat([tissues, tissues])
        return cross_entropy(logits, wanted, roi) + soft_dice_loss(logits.softmax(1), wanted, roi)

    # Second stage

    def _restorer_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """The clean anatomy from corrupted edges, and the image from it."""
        assert isinstance(network, DALNetwork)
        config, roi = self.config, batch.roi
        images = batch.images * roi
        with torch.no_grad():
            logits = self._logits(network, images)
            anatomy = self._anatomy(logits, roi, config.temperature)
            code = self._code(network, anatomy, images, roi)
            edges, spurious = corrupted(
                anatomy,
                images,
                roi,
                config,
                generator=context.generator,
                encode=lambda painted: self._anatomy(self._logits(network, painted), roi, config.temperature),
            )
            if context.step % COUNTED == 0:
                self._count_healthy(network, images, roi, batch.position)
        found = self._restore(network, edges, roi, batch.position)
        restored = self._anatomy(found, roi, config.temperature)
        wanted = anatomy[:, 1:]
        weight = 1.0 + (config.spurious_weight - 1.0) * spurious
        unlike = cross_entropy(found, wanted, roi, weight) + soft_dice_loss(found.softmax(1), wanted, roi)
        terms = {"anatomy": unlike}
        drawn = self._draw(network, restored, code, images)
        distance, error = self._distance(drawn * roi, images, roi)
        if config.drawn_weight:
            terms["drawn"] = config.drawn_weight * distance
        if config.adversarial:
            context.shared.update(
                restored=restored.detach(), anatomy=anatomy, edges=edges, reconstruction=error.detach()
            )
            said = network.critic(torch.cat([restored, edges], dim=1))
            terms["adversarial"] = config.adversarial * hinge_deception_loss(said, roi)
        return {"loss": torch.stack(list(terms.values())).sum(), "reconstruction": error.detach(), **terms}

    def _critic_turn(self, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        """Which anatomy is a person's, and which was restored."""
        assert isinstance(network, DALNetwork)
        if not context.shared:
            # Asked alone.
            with torch.no_grad():
                self._restorer_turn(network, batch, context)
        shared = context.shared
        pairs = [torch.cat([shared[name], shared["edges"]], dim=1) for name in ("anatomy", "restored")]
        on_real, on_drawn = network.critic(torch.cat(pairs)).chunk(2)
        loss = hinge_critic_loss(on_real, on_drawn, batch.roi)
        return {"loss": loss, "reconstruction": shared["reconstruction"]}

    def _count_healthy(self, network: DALNetwork, images: Tensor, roi: Tensor, position: Tensor) -> None:
        """Take note of how the first image of a batch is redrawn from its whole edges, as at detection."""
        if not network.residuals.training:
            return
        one = slice(1)
        found = self._ask(network, images[one], roi[one], position[one])
        inside = roi[one, 0]
        residual = (images[one] - found.healthy).abs().mean(1)
        network.residuals.add(residual[inside])
        network.disagreements.add(found.disagreement[inside])

    def _restore(self, network: DALNetwork, edges: Tensor, roi: Tensor, position: Tensor) -> Tensor:
        """Edges to logits of the anatomy, (B, K, ...)."""
        inside = roi.to(edges.dtype)
        height = position.reshape(-1, *[1] * (edges.ndim - 1)).to(edges.dtype) * inside
        planes = torch.cat([edges, inside, height], dim=1)
        logits: Tensor = network.restorer(planes).float()
        return logits

    # Both

    def _logits(self, network: DALNetwork, images: Tensor) -> Tensor:
        """(B, C, ...) to (B, K, ...): the mean over the channels, each of which shows the same anatomy."""
        alone = network.anatomy(channels_apart(images)).float()
        return alone.unflatten(0, images.shape[:2]).mean(1)

    def _code(self, network: DALNetwork, anatomy: Tensor, images: Tensor, roi: Tensor) -> Tensor:
        """(B · C, n) mean imaging codes."""
        channels = images.shape[1]
        anatomy, roi = (part.repeat_interleave(channels, 0) for part in (anatomy, roi))
        mean: Tensor = network.imaging(anatomy, channels_apart(images), roi)[0]
        return mean

    def _draw(self, network: DALNetwork, anatomy: Tensor, code: Tensor, images: Tensor) -> Tensor:
        """One anatomy in the contrasts of all channels: (B, C, ...)."""
        channels = images.shape[1]
        return joined(network.recoupler(anatomy.repeat_interleave(channels, 0), code), channels)

    def _ask(self, network: DALNetwork, images: Tensor, roi: Tensor, position: Tensor) -> Redrawn:
        """Take apart, restore, put together; the code is read again where scan and drawing agree."""
        config = self.config
        images = images * roi
        logits = self._logits(network, images)
        anatomy = self._anatomy(logits, roi, config.temperature)
        edges = edges_of(anatomy, images, roi, config)
        found = self._restore(network, edges, roi, position)
        restored = self._anatomy(found, roi, config.temperature)
        code = self._code(network, anatomy, images, roi)
        drawn = self._draw(network, restored, code, images) * roi
        for _ in range(config.robust):
            # Where the restorer put another class, it says itself that the scan is not to be believed.
            same = anatomy.argmax(1, keepdim=True) == restored.argmax(1, keepdim=True)
            trusted = most_alike(images, drawn, roi, share=TRUSTED) & same
            mixed = torch.where(trusted, images, drawn)
            code = self._code(network, torch.where(trusted, anatomy, restored), mixed, roi)
            drawn = self._draw(network, restored, code, images) * roi
        return Redrawn(
            anatomy=anatomy,
            edges=edges,
            restored=restored,
            code=code,
            healthy=self._graded(drawn, images, restored, roi),
            # Whether something is the bright or the middle part of a tissue is no disagreement.
            disagreement=disagreement(*(grouped(each.softmax(1), config.tissues) for each in (logits, found)))
            * roi[:, 0],
        )

    def _graded(self, drawn: Tensor, images: Tensor, anatomy: Tensor, roi: Tensor) -> Tensor:
        """Grey values fitted to the scan's, channel by channel."""
        config, channels = self.config, images.shape[1]
        if not config.regrade:
            return drawn
        fitted = regraded(
            channels_apart(drawn),
            channels_apart(images),
            grouped(anatomy[:, 1:], config.tissues).repeat_interleave(channels, 0),
            roi.repeat_interleave(channels, 0),
            order=config.bias_order,
        )
        return joined(fitted, channels) * roi

    def redraw(self, network: nn.Module, batch: Batch) -> Redrawn:
        """All that lies between a scan and its healthy image; image by image, so that neighbours change no bit."""
        assert isinstance(network, DALNetwork)
        with asking(network):
            each = [
                self._ask(network, *rows)
                for rows in zip(
                    batch.images.split(1), batch.roi.split(1), batch.position.split(1), strict=True
                )
            ]
        names = Redrawn.__dataclass_fields__
        return Redrawn(**{name: torch.cat([getattr(one, name) for one in each]) for name in names})

    def unrestored(self, network: nn.Module, batch: Batch, found: Redrawn) -> Tensor:
        """What the healthy image would be without any restoring: (B, C, ...) drawn from the scan's own anatomy."""
        assert isinstance(network, DALNetwork)
        with asking(network):
            images = batch.images * batch.roi
            drawn = self._draw(network, found.anatomy, found.code, images) * batch.roi
            return self._graded(drawn, images, found.anatomy, batch.roi)

    def recoupled(self, network: nn.Module, anatomy: Tensor, code: Tensor, roi: Tensor) -> Tensor:
        """Any anatomy (B, 1 + K, ...) in the imaging of any code (B, n): (B, 1, ...)."""
        assert isinstance(network, DALNetwork)
        with asking(network):
            drawn: Tensor = network.recoupler(anatomy, code) * roi
        return drawn

    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """The image drawn from the restored anatomy, and where it, or its anatomy, is another."""
        assert isinstance(network, DALNetwork)
        found = self.redraw(network, batch)
        residual = (batch.images * batch.roi - found.healthy).abs().mean(1)
        scales = [
            part.read(HEALTHY_QUANTILE).clamp(min=1e-2) for part in (network.residuals, network.disagreements)
        ]
        fused = residual / scales[0] + self.config.fusion * found.disagreement / scales[1]
        code = found.code.reshape(len(batch), -1)
        return Evidence(
            healthy=found.healthy,
            maps={"fused": fused, "residual": residual, "disagreement": found.disagreement},
            latent={"imaging": code},
        )
