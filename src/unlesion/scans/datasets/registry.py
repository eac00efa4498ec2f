"""The public datasets that are known by name."""

from __future__ import annotations

from unlesion.errors import BadInput
from unlesion.scans.datasets import atlas, brats, isles, ixi, mslub, wmh
from unlesion.scans.datasets.layout import Layout

_LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        atlas.ATLAS2,
        brats.BRATS2020,
        brats.BRATS2021,
        brats.BRATS2023,
        isles.ISLES2022,
        ixi.IXI,
        mslub.MSLUB,
        wmh.WMH2017,
    )
}


def dataset_names() -> list[str]:
    """The names of all datasets, sorted."""
    return sorted(_LAYOUTS)


def is_dataset(name: str) -> bool:
    """Whether a dataset is known by this name."""
    return name.lower() in _LAYOUTS


def dataset_named(name: str) -> Layout:
    """The layout of a dataset.

    Raises:
        BadInput: an unknown name; the message lists the known ones.
    """
    if not is_dataset(name):
        raise BadInput(
            f"{name}: neither a manifest (.csv) that is there nor a public dataset that is known; with --root give either (datasets: "
            f"{', '.join(dataset_names())}), or leave --root out for a folder"
        )
    return _LAYOUTS[name.lower()]
