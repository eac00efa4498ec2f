"""Simple images to train tiny networks on, and a plain training loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unlesion.methods.base import InputSpec, Method, Phase, StepContext
from unlesion.methods.batch import Batch
from unlesion.methods.registry import get_method


def blob_images(
    number: int, *, channels: int = 1, size: int = 32, dims: int = 2, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """A ball with two soft bright blobs at places that vary a little; images and roi."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.linspace(-1, 1, size)
    grid = torch.stack(torch.meshgrid(*[axis] * dims, indexing="ij"))
    roi = (grid.square().sum(0) < 0.8).expand(number, 1, *[size] * dims)
    images = torch.full((number, channels, *[size] * dims), 0.4)
    for centre in (-0.4, 0.4):
        place = centre + 0.1 * torch.randn((number, dims), generator=generator)
        distance = (grid[None] - place.reshape(number, dims, *[1] * dims)).square().sum(1, keepdim=True)
        images = images + 0.5 * torch.exp(-distance / 0.05)
    scale = torch.linspace(1.0, 0.7, channels).reshape(1, channels, *[1] * dims)
    return (images * scale * roi).float(), roi.clone()


def make_batch(images: Tensor, roi: Tensor, *, seed: int = 0) -> Batch:
    """A batch of the given images."""
    number, dims = len(images), images.ndim - 2
    return Batch(
        images=images,
        roi=roi,
        position=torch.linspace(0.2, 0.8, number),
        spacing=torch.ones(number, dims),
        modality=(("",) * images.shape[1],) * number,
        scan_ids=tuple(f"scan{i}" for i in range(number)),
        seeds=torch.arange(number) + 1000 * seed,
    )


def blob_batch(number: int = 8, *, channels: int = 1, size: int = 32, dims: int = 2, seed: int = 0) -> Batch:
    """A batch of blob images."""
    return make_batch(*blob_images(number, channels=channels, size=size, dims=dims, seed=seed), seed=seed)


def pick(batch: Batch, rows: Sequence[int]) -> Batch:
    """Some rows of a batch."""
    index = torch.as_tensor(rows)
    return Batch(
        images=batch.images[index],
        roi=batch.roi[index],
        position=batch.position[index],
        spacing=batch.spacing[index],
        modality=tuple(batch.modality[i] for i in rows),
        scan_ids=tuple(batch.scan_ids[i] for i in rows),
        seeds=batch.seeds[index],
    )


def tiny(name: str, *, channels: int = 1, size: int = 32, dims: int = 2, **overrides: object) -> Method:
    """A method at its smallest preset."""
    method = get_method(name)
    spec = InputSpec(channels=channels, size=size, dims=dims, modalities=("",) * channels)
    return method(method.config_for("tiny", overrides), spec)


def built(method: Method, *, seed: int = 0) -> nn.Module:
    """The method's network with reproducible weights."""
    torch.manual_seed(seed)
    return method.build()


def train(
    method: Method, network: nn.Module, batch: Batch, *, steps: int, per_step: int = 8
) -> dict[str, list[float]]:
    """All stages of a method, or its fit, in the plainest possible loop.

    Returns:
        Losses by "stage.phase". What an optimiser minimises in a game need not fall, so there it is the
        error of reconstruction, or where nothing is reconstructed the mismatch of mean images, if logged.
    """
    method.fit(network, lambda: [batch])
    losses: dict[str, list[float]] = {}
    children = dict(network.named_children())
    for stage in method.stages():
        if stage.before is not None:
            stage.before(network)
        optimizers = [phase.optimizer(list(parameters_of(phase, children))) for phase in stage.phases]
        for step in range(steps):
            shared: dict[str, Tensor] = {}
            for phase, optimizer in zip(stage.phases, optimizers, strict=True):
                for name, child in children.items():
                    child.train(name in phase.parts).requires_grad_(name in phase.parts)
                generator = torch.Generator().manual_seed(step)
                rows = torch.randperm(len(batch), generator=generator)[:per_step].tolist()
                torch.manual_seed(step)
                shared = shared if phase.same_batch else {}
                context = StepContext(generator=generator, progress=step / steps, step=step, shared=shared)
                named = phase.loss(network, pick(batch, rows), context)
                loss = named["loss"]
                watched = named.get("reconstruction", named.get("mismatch", loss))
                watched = watched if len(stage.phases) > 1 else loss
                optimizer.zero_grad()
                loss.backward()
                if phase.clip_norm is not None:
                    torch.nn.utils.clip_grad_norm_(list(parameters_of(phase, children)), phase.clip_norm)
                optimizer.step()
                losses.setdefault(f"{stage.name}.{phase.name}", []).append(float(watched.detach()))
    return losses


def parameters_of(phase: Phase, children: dict[str, nn.Module]) -> list[nn.Parameter]:
    """What learns in a phase."""
    return [parameter for part in phase.parts for parameter in children[part].parameters()]
