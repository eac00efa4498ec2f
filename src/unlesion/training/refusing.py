"""What cannot work is refused before scans are prepared and a network is trained."""

from __future__ import annotations

import torch
from torch import nn

from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, Method
from unlesion.methods.own_maps import refuse_unknown_maps
from unlesion.modality import condition_name
from unlesion.prepare import Recipe
from unlesion.scans import Cohort
from unlesion.training.budget import steps_per_stage


def expected_input(cohort: Cohort, recipe: Recipe) -> InputSpec:
    """What the images of a cohort will look like, unless scans turn out to be unusable."""
    entries = tuple(cohort)
    return InputSpec(
        channels=len(entries[0].modality),
        size=recipe.size,
        modalities=entries[0].modality,
        conditions=tuple(sorted({condition_name(entry.modality) for entry in entries})),
    )


def refuse_early(
    method: Method, steps: str | int | None, rule: str, *, batch: int, recontrast: float, resume: bool
) -> None:
    """Complain about settings that do not work before anything is prepared or written.

    Args:
        method: with its settings and the images that are expected.
        steps: as the user asked for them; None is a budget in minutes.
        rule: of the scoring.
        batch: images of a step.
        recontrast: share of the images that training shows under random maps of grey values.
        resume: whether the training was begun before.

    Raises:
        BadInput: unknown stages, an impossible size, files of weights that cannot be read, a map that is not made, random
            maps of grey values for a method that cannot learn from them, single images where a batch is normalised.
    """
    if recontrast and (why := method.against_recontrast()):
        raise BadInput(f"training.recontrast: {why}")
    stages = method.stages()
    if steps is not None and stages:
        steps_per_stage(steps, {stage.name: stage.share for stage in stages})
    with torch.random.fork_rng(devices=[]):
        network = method.build()
        # It may read files that the settings name; of them, an interrupted training has what it needs.
        if stages and stages[0].before is not None and not resume:
            stages[0].before(network)
        refuse_unknown_maps(method, network, rule)
        # Of a single vector there is no mean and spread.
        if stages and batch == 1 and any(type(part) is nn.BatchNorm1d for part in network.modules()):
            raise BadInput(
                f"training.batch=1: {method.name} with these settings normalises by batches; take 2 images or more a step"
            )
