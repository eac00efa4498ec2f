from __future__ import annotations

import pytest
import torch
from torch import nn

from unlesion.errors import BadInput
from unlesion.modality import condition_name
from unlesion.networks.condition import Conditionable, one_hot, with_numbers, with_planes

KNOWN = ("CXR", "T1", "T1+FLAIR")


def test_names() -> None:
    assert condition_name(("t1", "Flair")) == "T1+FLAIR"
    assert condition_name(("CXR",)) == "CXR"
    assert condition_name(("",)) == "unnamed"


def test_one_hot() -> None:
    told = one_hot([("t1",), ("CXR",), ("T1", "FLAIR")], KNOWN, names="abc")
    assert told.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert told.dtype == torch.float32


def test_unknown_modality_names_the_known() -> None:
    with pytest.raises(BadInput, match=r"^b: modality T2 .*\(CXR, T1, T1\+FLAIR\)") as error:
        one_hot([("T1",), ("T2",)], KNOWN, names="ab")
    assert "\n" not in str(error.value)
    with pytest.raises(BadInput, match=r"^a: its modality is not known.* CXR, T1, T1\+FLAIR .*manifest"):
        one_hot([("",)], KNOWN, names="a")
    # Those who were trained on images of unknown modality know them.
    assert one_hot([("",)], ("T1", "unnamed"), names="a").tolist() == [[0, 1]]


@pytest.mark.parametrize("dims", [2, 3])
def test_planes_are_constant_and_come_last(dims: int) -> None:
    images = torch.rand(4, 2, *[5] * dims)
    told = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    seen = with_planes(images, told)
    assert seen.shape == (4, 5, *[5] * dims)
    assert torch.equal(seen[:, :2], images)
    # Two batches alike one after another.
    for row in range(4):
        for plane in range(3):
            assert (seen[row, 2 + plane] == told[row % 2, plane]).all()


def test_numbers_come_last() -> None:
    codes = torch.rand(4, 3)
    told = torch.eye(2)
    assert torch.equal(with_numbers(codes, told), torch.cat([codes, told.repeat(2, 1)], 1))


def test_without_a_condition_nothing_is_touched() -> None:
    images = torch.rand(2, 1, 4, 4)
    assert with_planes(images, None) is images
    assert with_numbers(images, None) is images


def test_conditions_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="3 images"):
        with_planes(torch.rand(3, 1, 4, 4), torch.eye(2))


class Network(Conditionable):
    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(2, 2)


def test_a_told_network_is_the_same_network() -> None:
    network = Network()
    told = network.told(torch.eye(2))
    assert isinstance(told, Network) and told.part is network.part
    assert network.condition is None and torch.equal(told.condition, torch.eye(2))
    assert told.state_dict().keys() == network.state_dict().keys() == {"part.weight", "part.bias"}
    assert torch.equal(told.told_of(slice(1, 2)).condition, torch.tensor([[0.0, 1.0]]))
    assert network.told_of(slice(0, 1)) is network
