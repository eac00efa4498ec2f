"""What methods share that can be told the modality of every image."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from pydantic import SerializerFunctionWrapHandler, model_serializer
from torch import nn

from unlesion.methods.base import Method, MethodConfig
from unlesion.methods.batch import Batch
from unlesion.networks.condition import Conditionable, one_hot

Network = TypeVar("Network", bound=nn.Module)


class ConditionedConfig(MethodConfig):
    """Settings of methods that can be told the modality.

    Attributes:
        condition: whether the network is told each image's modality, one of those seen in training; for one
            network that learns several.
    """

    condition: bool = False

    # Settings that were added when results had been recorded already.
    came_later: ClassVar[tuple[str, ...]] = ("condition",)

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves newer settings out where they are off: what was recorded before they came stays the same record."""
        out: dict[str, Any] = dump(self)
        for name in self.came_later:
            if not getattr(self, name):
                out.pop(name, None)
        return out


class ConditionedMethod(Method):
    """A method whose network may be told the modality of every image."""

    config: ConditionedConfig

    @property
    def conditions(self) -> tuple[str, ...]:
        """The modalities that the network tells apart; none without `condition`.

        Raises:
            ValueError: the network is to be told, and nobody said which modalities there are.
        """
        if not self.config.condition:
            return ()
        if not self.spec.conditions:
            raise ValueError("method.condition needs the modalities seen in training (InputSpec.conditions)")
        return self.spec.conditions

    def told(self, network: Network, batch: Batch) -> Network:
        """The network, told the modalities of a batch; without `condition` the network as it is.

        Raises:
            BadInput: an image is of a modality that was not seen in training.
        """
        if not self.config.condition:
            return network
        assert isinstance(network, Conditionable)
        return network.told(
            one_hot(batch.modality, self.conditions, names=batch.scan_ids, device=batch.images.device)
        )
