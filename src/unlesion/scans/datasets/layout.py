"""Layout: what a public dataset is, and how its files say what they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from unlesion.scans.datasets.people import PeopleTable
from unlesion.scans.entry import Label


@dataclass(frozen=True, kw_only=True)
class Version:
    """One of several preparations of the same scans, by regular expressions of paths.

    A path is relative to the folder above the root, with `/` between its parts. An expression describes the end of it,
    from a part on. Named groups become columns of the cohort.

    Attributes:
        images: which files are images; has the group `subject`, and `modality` unless the layout has one for all.
        masks: which are lesion masks: that of an image has the same values in all groups that both have; of several the
            nearest is taken.
        rois: the same for brain masks.
        name: what the version is called; "" where there is one only.
    """

    images: str
    masks: str = ""
    rois: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A public dataset.

    Attributes:
        name: for the command line, lower case.
        title: for people.
        citation: what to cite.
        licence: as far as it is known; the providers' terms hold.
        access: where to ask for it.
        expected: an example of a path, for messages.
        versions: preparations of the same scans; the first that is there is read.
        scan: which examination, of the groups: "{subject}-{session}".
        modality: where names of files do not say it.
        words: by group, what its values are called here: {"modality": {"flair": "FLAIR"}}.
        label: of all scans.
        pathology: of the anomalous ones.
        empty_is_healthy: a scan whose mask marks nothing is healthy; else masks are not asked.
        mask_values: values of the masks that are lesion, as in manifests; "" where all above 0 are.
        mask_fits: modalities that lie on the grid of the mask; empty: all.
        people: tables of the dataset about its people.
    """

    name: str
    title: str
    citation: str
    licence: str
    access: str
    expected: str
    versions: tuple[Version, ...]
    scan: str = "{subject}"
    modality: str = ""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    label: Label = "anomalous"
    pathology: str = ""
    empty_is_healthy: bool = False
    mask_values: str = ""
    mask_fits: tuple[str, ...] = ()
    people: tuple[PeopleTable, ...] = ()

    def said(self, expression: str, path: str) -> dict[str, str] | None:
        """What a path says by the groups of an expression, in the words of this program; None where it does not match."""
        # The prefix is short rather than long, so that groups that may be missing are found where they are there.
        match = re.fullmatch(f"(?:.*?/)??(?:{expression})", path) if expression else None
        if match is None:
            return None
        groups = {name: value or "" for name, value in match.groupdict().items()}
        return {name: self.words.get(name, {}).get(value, value) for name, value in groups.items()}
