"""Which maps a method makes, and a complaint about a scoring that asks for another."""

from __future__ import annotations

import torch
from torch import nn

from unlesion.errors import BadInput
from unlesion.methods.base import Method
from unlesion.methods.batch import Batch


def refuse_unknown_maps(method: Method, network: nn.Module, rule: str) -> None:
    """Complain about maps in a scoring's rule that the method does not make.

    Args:
        method: whose maps are asked for; those of its native rule are taken on trust.
        network: of the method, trained or not; it is shown a blank image.
        rule: of the scoring, such as "map:midl" or "residual*ssim".

    Raises:
        BadInput: a map that the method does not make.
    """
    wanted = {part for part in rule.split("*") if part.startswith("map:")}
    wanted -= set(str(method.native.get("rule", "residual")).split("*"))
    if not wanted:
        return
    spec = method.spec
    sides = (spec.size,) * spec.dims
    blank = Batch(
        images=torch.full((1, spec.channels, *sides), 0.5),
        roi=torch.ones((1, 1, *sides), dtype=torch.bool),
        position=torch.full((1,), 0.5),
        spacing=torch.ones((1, spec.dims)),
        modality=(spec.modalities,),
        scan_ids=("blank",),
        seeds=torch.zeros(1, dtype=torch.int64),
    )
    known = {f"map:{name}" for name in method.explain(network, blank).maps}
    for name in sorted(wanted - known):
        raise BadInput(
            f"scoring.rule={name}: {method.name} makes no such map; its own maps: {', '.join(sorted(known)) or 'none'}"
        )
