"""What decides a redrawn image: the noisy scan, or the code that the network is told? For runs of `cddpm`.

    python benchmarks/code_swap.py RUN MANIFEST swap.png
    python benchmarks/code_swap.py RUN MANIFEST swap.png --scans KEY_A KEY_B --where source=oasis_t1_2d

The picture follows Figure 3 of Behrendt et al., arXiv 2312.04215: a scan is noised to 50 % and to 100 % of all noise
levels and redrawn with its own code and with that of another scan; then the other way round. By default the scans are
the first healthy test scans of two subjects; of a volume the slice with most roi is taken. Both get the same noise. What is redrawn is shown where one of
the scans has roi: beyond, the network is never judged, so that at 100 % noise its outline of a brain means nothing.

The tables say how far each redrawn image lies from the scan that was noised and from the one whose code was told (mean
absolute difference where both have roi), and what the limits are:

- At the highest level next to nothing of the scan is left: two noised scans, the same noise and code, must give the same
  image (largest absolute difference). Beside it: how much another noise or another code changes, for scale.
- At the lowest level hardly any noise was added: the scan itself must come back (mean absolute difference in the roi),
  whichever code is told.

Grey values are those of the recipe, where most tissue lies between 0 and 1. For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from unlesion.batching import batches_of
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.methods.batch import Batch
from unlesion.methods.diffusion.cddpm import ConditionedDDPM
from unlesion.methods.diffusion.ddpm import to_grey, to_signal
from unlesion.report.tiles import font, grey_tile, tile_size
from unlesion.scans import Cohort, Entry

SHARES = (0.5, 1.0)
SIDE, GAP, LEFT, TOP, BOTTOM = 160, 4, 92, 24, 20
HEADS = ("scan", "noised", "with its own code", "with the other's code", "the other scan")
# Grey value that is drawn white.
WHITE = 1.0


@dataclass(frozen=True, kw_only=True)
class Swap:
    """One scan at one noise level, all (C, H, W) in grey values.

    Attributes:
        level: of the noise.
        scan, noisy, other: the scan, the scan noised, the other scan.
        own, told: redrawn with the scan's code, and with the other's.
        both, either: (1, H, W) bool, where both scans or one of them has roi.
    """

    level: int
    scan: Tensor
    noisy: Tensor
    own: Tensor
    told: Tensor
    other: Tensor
    both: Tensor
    either: Tensor

    def tiles(self) -> tuple[Tensor, ...]:
        """The images in the order of `HEADS`; what is redrawn is shown where one of the scans has roi."""
        return self.scan, self.noisy, self.own * self.either, self.told * self.either, self.other

    def row(self, name: str, other: str) -> str:
        """A row of the table."""
        grey = [
            float(image[:, self.both[0]].mean()) for image in (self.scan, self.own, self.told, self.other)
        ]
        far = [
            float((one - two)[:, self.both[0]].abs().mean())
            for one, two in (
                (self.own, self.scan),
                (self.told, self.scan),
                (self.told, self.other),
                (self.told, self.own),
            )
        ]
        cells = " | ".join(f"{number:.3f}" for number in (*far, *grey))
        return f"| {name} | {other} | {self.level} | {cells} |"


class Redrawing:
    """A run whose noise levels are chosen freely.

    Args:
        run: of a method that tells codes.
    """

    def __init__(self, run: Detector) -> None:
        if not isinstance(run.method, ConditionedDDPM):
            raise BadInput(f"{run.name}: a run of {run.method.name!r}; only those of 'cddpm' learn a code")
        self._method, self._network = run.method, run.network.eval()
        self.levels = run.method.config.timesteps

    def _at(self, level: int) -> ConditionedDDPM:
        config = self._method.config.model_copy(update={"t_test": (level,)})
        return ConditionedDDPM(config, self._method.spec)

    def drawn(self, batch: Batch, told: Batch, level: int) -> Tensor:
        """(C, H, W): one image noised to a level and redrawn with the code of another."""
        return self._at(level).swapped(self._network, batch, told)[0, 0]

    def noisy(self, batch: Batch, level: int) -> Tensor:
        """(C, H, W): what the network is shown."""
        method = self._at(level)
        signal, field = to_signal(batch.images * batch.roi, method.config.grey), method._field(batch, level)
        return to_grey(method.process.noisy(signal, field, torch.tensor([level - 1])), method.config.grey)[0]

    def swap(self, one: Batch, other: Batch, level: int) -> Swap:
        """A scan with both codes."""
        return Swap(
            level=level,
            scan=one.images[0],
            noisy=self.noisy(one, level),
            own=self.drawn(one, one, level),
            told=self.drawn(one, other, level),
            other=other.images[0],
            both=(one.roi & other.roi)[0],
            either=(one.roi | other.roi)[0],
        )


def limits(redrawing: Redrawing, one: Batch, other: Batch) -> list[str]:
    """The table of what holds at the ends of the noise."""
    top = redrawing.levels
    first = redrawing.drawn(one, one, top)
    largest = {
        "the other scan noised, same noise, same code": redrawing.drawn(other, one, top),
        "same scan, other noise, same code": redrawing.drawn(replace(one, seeds=one.seeds + 1), one, top),
        "same scan, same noise, the other's code": redrawing.drawn(one, other, top),
    }
    lines = ["| limit | changed | difference |", "|---|---|---|"]
    for what, drawn in largest.items():
        lines.append(f"| level {top}, largest | {what} | {float((drawn - first).abs().max()):.2g} |")
    for what, told in (("redrawn with its own code", one), ("redrawn with the other's code", other)):
        error = (redrawing.drawn(one, told, 1) - one.images[0])[:, one.roi[0, 0]].abs().mean()
        lines.append(f"| level 1, mean to the scan | {what} | {float(error):.2g} |")
    return lines


def two_entries(cohort: Cohort, keys: list[str]) -> tuple[Entry, Entry]:
    """The scans with these keys, or the first healthy test scans of two subjects."""
    if keys:
        known = {entry.key: entry for entry in cohort}
        for key in keys:
            if key not in known:
                raise BadInput(f"{key}: no such scan in {cohort.name}; keys are like {next(iter(known))}")
        return known[keys[0]], known[keys[1]]
    first: dict[str, Entry] = {}
    for entry in cohort.select(split="test", label="healthy"):
        first.setdefault(entry.subject, entry)
    if len(first) < 2:
        raise BadInput(f"{cohort.name}: no healthy test scans of two subjects; name two with --scans")
    one, other, *_ = first.values()
    return one, other


def fullest_slice(run: Detector, entry: Entry) -> Batch:
    """The slice of a scan with most roi, as a batch of one."""
    prepared = run.prepare(entry.read())
    if not prepared.roi.any():
        raise BadInput(f"{entry.key}: its region of interest is empty")
    wanted = int(prepared.roi.sum(axis=(1, 2)).argmax())
    for where, batch in batches_of(prepared, seed=run.seed):
        if wanted in where:
            return batch.pick(torch.from_numpy(where == wanted))
    raise AssertionError("the fullest slice is in some batch")


def sheet(swaps: list[tuple[str, Swap]], spacing: tuple[float, float]) -> Image.Image:
    """A row a swap, labelled by scan and level; the first channel."""
    size = tile_size((swaps[0][1].scan.shape[1], swaps[0][1].scan.shape[2]), spacing=spacing, side=SIDE)
    height = TOP + len(swaps) * (size[0] + GAP) + BOTTOM
    drawing = Image.new("RGB", (LEFT + len(HEADS) * (size[1] + GAP), height), "white")
    pen = ImageDraw.Draw(drawing)
    for column, head in enumerate(HEADS):
        pen.text((LEFT + column * (size[1] + GAP), 6), head, fill="#444", font=font(11))
    for row, (name, swap) in enumerate(swaps):
        top = TOP + row * (size[0] + GAP)
        pen.text((6, top + 8), name, fill="#111", font=font(11))
        pen.text((6, top + 24), f"level {swap.level}", fill="#666", font=font(11))
        for column, image in enumerate(swap.tiles()):
            tile = grey_tile(image[0].numpy().astype(np.float32) / WHITE, size)
            drawing.paste(tile, (LEFT + column * (size[1] + GAP), top))
    pen.text((6, height - 16), "research use, not a medical device", fill="#666", font=font(10))
    return drawing


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument("picture", type=Path, metavar="OUT.png")
    parser.add_argument("--where", action="append", default=[], metavar="COL=A,B")
    parser.add_argument("--scans", nargs=2, default=[], metavar=("KEY_A", "KEY_B"))
    given = parser.parse_args(words)
    try:
        run = Detector.load(given.run)
        redrawing = Redrawing(run)
        entries = two_entries(Cohort.open(given.manifest, where=given.where), given.scans)
        one, other = (fullest_slice(run, entry) for entry in entries)
    except BadInput as error:
        sys.exit(str(error))
    # Noise is drawn from an image's seed.
    other = replace(other, seeds=one.seeds)
    print(
        "| noised | other | level | own code to scan | other's code to scan | other's code to other | codes apart |",
        end="",
    )
    print(" mean grey: scan | own code | other's code | other |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    swaps = []
    for name, told, pair in (("A", "B", (one, other)), ("B", "A", (other, one))):
        for share in SHARES:
            swap = redrawing.swap(*pair, round(share * redrawing.levels))
            swaps.append((f"scan {name}", swap))
            print(swap.row(name, told))
    print(f"\nA: {entries[0].key}; B: {entries[1].key}\n")
    print("\n".join(limits(redrawing, one, other)))
    sheet(swaps, (float(one.spacing[0, 0]), float(one.spacing[0, 1]))).save(given.picture, optimize=True)


if __name__ == "__main__":
    main()
