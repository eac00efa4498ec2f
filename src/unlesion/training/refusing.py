"""What cannot work is refused before scans are prepared and a network is trained."""

from __future__ import annotations

import torch

from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, Method
from unlesion.methods.batch import Batch
from unlesion.networks.condition import condition_name
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


def refuse_early(method: Method, steps: str | int | None, rule: str, *, resume: bool) -> None:
    """Complain about settings that do not work before anything is prepared or written.

    Args:
        method: with its settings and the images that are expected.
        steps: as the user asked for them; None is a budget in minutes.
        rule: of the scoring.
        resume: whether the training was begun before.

    Raises:
        BadInput: unknown stages, an impossible size, files of weights that cannot be read, a map that is not made.
    """
    stages = method.stages()
    if steps is not None and stages:
        steps_per_stage(steps, {stage.name: stage.share for stage in stages})
    with torch.random.fork_rng(devices=[]):
        network = method.build()
        # It may read files that the settings name; of them, an interrupted training has what it needs.
        if stages and stages[0].before is not None and not resume:
            stages[0].before(network)
        maps = {part for part in rule.split("*") if part.startswith("map:")}
        if maps - set(str(method.native.get("rule", "residual")).split("*")):
            _refuse_maps(method, network, maps)


def _refuse_maps(method: Method, network: torch.nn.Module, wanted: set[str]) -> None:
    """Complain about maps that the method does not make; which it makes is seen on a blank image."""
    spec = method.spec
    blank = Batch(
        images=torch.full((1, spec.channels, spec.size, spec.size), 0.5),
        roi=torch.ones((1, 1, spec.size, spec.size), dtype=torch.bool),
        position=torch.full((1,), 0.5),
        spacing=torch.ones((1, 2)),
        modality=(spec.modalities,),
        scan_ids=("blank",),
        seeds=torch.zeros(1, dtype=torch.int64),
    )
    known = {f"map:{name}" for name in method.explain(network, blank).maps}
    for name in sorted(wanted - known):
        raise BadInput(
            f"scoring.rule={name}: {method.name} makes no such map; its own maps: {', '.join(sorted(known)) or 'none'}"
        )
