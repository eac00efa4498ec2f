"""The scorings that a run is trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlesion.methods.base import Method
from unlesion.scoring import COMMON, Scorer, ScoringConfig, make_scorer
from unlesion.settings import merged, validated


def scorers_of(method: Method, over: Mapping[str, Any]) -> dict[str, Scorer]:
    """The native scorer with the user's settings on top, and the shared one where the method draws healthy images.

    Args:
        method: whose native scoring it is.
        over: settings of `ScoringConfig`, nested.

    Raises:
        BadInput: an unknown setting, or a value out of range.
    """
    native = validated(ScoringConfig, merged(dict(method.native), over), what="scoring")
    scorers = {"native": make_scorer(native)}
    if method.draws_healthy:
        # Shared scoring is the same for all methods: post-processing and pooling are common, or the user's.
        common = {name: value for name, value in over.items() if name in COMMON}
        scorers["shared"] = make_scorer(validated(ScoringConfig, common, what="scoring"))
    return scorers
