"""Does `dal` do what its design demands? The acceptance tests as a table; exit code 1 where one that is a gate fails.

    python benchmarks/dal_acceptance.py --out work/dal_acceptance            # trains what it needs, once: about ten minutes
    python benchmarks/dal_acceptance.py RUN MANIFEST --where label=healthy --pairs PAIRS --plain AE_RUN --picture parts.png

Gates, of any run: T1, values of the operator are 0 and 1 and its gradient is that of the softmax at the run's temperature. T2, a
constant map has no edge, two halves a line of two pixels. T8, edges alone: where a small change of the scan leaves the
edges as they are, it leaves the restored anatomy as it is. T6, fidelity: SSIM of healthy scans and their healthy images
inside the roi. T7, lesions: mean AP of the residual on discs of a grey unlike the tissue beneath, above that of the image
drawn from the scan's own anatomy (no restoration) and of `--plain`, a run of another method (or of `dal` without edges).
Reported: T6 and T7 without the fit of grey values to the scan, which no other method makes; T5, leakage: explained variance of slice
height and accuracy of the contrast's name, read off the code by a linear probe, on subjects that the probe did not see.
T3, contrast: mean Dice over tissues of the anatomies of two contrasts of one head (T1 and T2 of `--pairs`), and of an
image and an image of random contrast (as in training: a map of grey values, and bias, blur, ghost and noise). T4, swap:
SSIM of the T2 image and one drawn from the T1's anatomy with the T2's code, and, as what can be had, from the T2's own.

Scans: the healthy test rows of MANIFEST (default: the implants of implants.yaml), of volumes the slices with most roi. Where
pairs are volumes and the run learnt from pictures, they are prepared by the recipe brain-mri at the run's size. A run that
learnt one contrast was shown others as random maps only, so T3 and T4 ask more of it than of one that learnt both.
Intervals: 95 %, bootstrap over subjects. For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from dal_measures import Floats, batches, disc, one_channel, probes, similarity, tissue_dice, with_ends
from torch import Tensor

from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.methods.anatomy.dal import DisentangledAnatomy
from unlesion.methods.batch import Batch
from unlesion.networks.contrast_maps import random_contrast
from unlesion.networks.edges import anatomy_edges
from unlesion.networks.one_hot import differentiable_one_hot
from unlesion.prepare import load_recipe
from unlesion.scans import Cohort

# What is trained where no run is named: the steps of the tables' rows.
STEPS = {"dal": "disentangle=469,restore=647", "ae": "3600"}
IMPLANTS = Path(os.environ.get("UNLESION_IMPLANTS", "work/implants")) / "oasis" / "manifest.csv"
HEADS = ("scan", "anatomy", "edges", "restored", "not restored", "healthy", "map")


@dataclass(frozen=True)
class Line:
    """A row of the table: what, the demand in words, what was found, whether it was met (None: reported), and whether it must be."""

    what: str
    demand: str
    found: str
    met: bool | None
    gate: bool = False

    def row(self) -> str:
        """In Markdown."""
        met = {True: "yes", False: "no", None: "–"}[self.met]
        return f"| {self.what} | {self.demand} | {self.found} | {met} |"


class Acceptance:
    """Measures on one run of `dal`."""

    def __init__(self, run: Detector, *, seed: int = 0) -> None:
        if not isinstance(run.method, DisentangledAnatomy):
            raise BadInput(f"{run.name}: a run of {run.method.name!r}; this asks about runs of 'dal'")
        if run.method.spec.channels != 1:
            raise BadInput(f"{run.name}: learnt {run.method.spec.channels} channels; give a run of one")
        self.run = run
        self.method = run.method
        self.tissues = run.method.config.tissues
        self.generator = torch.Generator().manual_seed(seed)

    def remaps(self, healthy: list[Batch]) -> Line:
        """T3 under random maps of grey values."""
        found = []
        for batch in healthy:
            other = random_contrast(batch.images, batch.roi, generator=self.generator)
            pair = [
                self.method.redraw(self.run.network, one).anatomy
                for one in (batch, replace(batch, images=other))
            ]
            found.append(np.nanmean(tissue_dice(*pair, tissues=self.tissues)))
        value = float(np.mean(found))
        return Line("T3 Dice under random contrasts", "≥ 0.90", f"{value:.3f}", value >= 0.9)

    def pairs(self, pairs: list[Batch]) -> list[Line]:
        """T3 and T4 on pairs of contrasts."""
        dice, swapped, own = [], [], []
        for batch in pairs:
            one, other = (self.method.redraw(self.run.network, one_channel(batch, c)) for c in (0, 1))
            dice.append(np.nanmean(tissue_dice(one.anatomy, other.anatomy, tissues=self.tissues)))
            drawn = self.method.recoupled(self.run.network, one.anatomy, other.code, batch.roi)
            wanted = batch.images[:, 1:2] * batch.roi
            swapped.append(similarity(drawn, wanted, batch.roi))
            drawn = self.method.recoupled(self.run.network, other.anatomy, other.code, batch.roi)
            own.append(similarity(drawn, wanted, batch.roi))
        first, second = float(np.mean(dice)), float(np.mean(swapped))
        return [
            Line("T3 Dice of T1's and T2's anatomy", "≥ 0.85", f"{first:.3f}", first >= 0.85),
            Line("T4 SSIM of T2 from T1's anatomy", "≥ 0.90", f"{second:.3f}", second >= 0.9),
            Line("T4 SSIM of T2 from its own anatomy", "reported", f"{np.mean(own):.3f}", None),
        ]

    def leakage(
        self, healthy: list[Batch], subjects: list[str], pairs: list[Batch], owners: list[str]
    ) -> list[Line]:
        """T5: what a linear probe reads off codes."""
        codes, heights = self._codes(healthy)
        who = [name for name, batch in zip(subjects, healthy, strict=True) for _ in range(len(batch))]
        height, _ = probes(codes, heights, ["" for _ in who], who)
        lines = [Line("T5 R² of height from the code", "≤ 0.1, reported", f"{height:.3f}", None)]
        if pairs:
            parts = [self._codes([one_channel(batch, c) for batch in pairs]) for c in (0, 1)]
            owner = [name for name, batch in zip(owners, pairs, strict=True) for _ in range(len(batch))]
            names = ["T1"] * len(owner) + ["T2"] * len(owner)
            _, right = probes(
                np.concatenate([part[0] for part in parts]), np.zeros(len(names)), names, owner * 2
            )
            lines.append(Line("T5 contrast from the code", "≥ 0.95, reported", f"{right:.3f}", None))
        return lines

    def _codes(self, batches: list[Batch]) -> tuple[Floats, Floats]:
        codes = [self.method.redraw(self.run.network, batch).code for batch in batches]
        heights = torch.cat([batch.position for batch in batches])
        return torch.cat(codes).double().numpy(), heights.double().numpy()

    def exact(self, healthy: list[Batch]) -> list[Line]:
        """T1, T2 and T8."""
        config = self.method.config
        logits = torch.randn(4, 6, 8, 8, generator=self.generator).requires_grad_()
        weights = torch.randn(4, 6, 8, 8, generator=self.generator)
        one_hot = differentiable_one_hot(logits, temperature=config.temperature, operator=config.operator)
        (found,) = torch.autograd.grad((weights * one_hot).sum(), logits)
        (wanted,) = torch.autograd.grad((weights * (logits / config.temperature).softmax(1)).sum(), logits)
        off = float((found - wanted).abs().max() / wanted.abs().max())
        whole = bool(((one_hot == 0) | (one_hot == 1)).all() and (one_hot.sum(1) == 1).all())
        halves = torch.zeros(1, 2, 8, 8)
        halves[:, 0, :4], halves[:, 1, 4:] = 1, 1
        line = anatomy_edges(halves)[0, 0].sum(1)
        straight = (
            line.tolist() == [0, 0, 0, 8, 8, 0, 0, 0] and not anatomy_edges(torch.ones(1, 2, 8, 8)).any()
        )
        same, kept = 0, 0
        for batch in healthy:
            one = self.method.redraw(self.run.network, batch)
            other = self.method.redraw(self.run.network, replace(batch, images=batch.images * 1.001))
            for row in range(len(batch)):
                if torch.equal(one.edges[row], other.edges[row]):
                    same += 1
                    kept += int(torch.equal(one.restored[row], other.restored[row]))
        return [
            Line(
                "T1 operator: one-hot; gradient off the softmax's by",
                "≤ 1e-4",
                f"{off:.0e}",
                whole and off <= 1e-4,
                True,
            ),
            Line("T2 edges of two halves, pixels wide", "2", f"{int((line > 0).sum())}", straight, True),
            Line(
                "T8 restored alike where edges are",
                "all",
                f"{kept} of {same}",
                kept == same and same > 0,
                True,
            ),
        ]

    def fidelity(self, healthy: list[Batch], subjects: list[str]) -> list[Line]:
        """T6."""
        lines = []
        for fitted, method in self._fits():
            values = [
                similarity(method.redraw(self.run.network, batch).healthy, batch.images, batch.roi)
                for batch in healthy
            ]
            value = float(np.mean(values))
            met = value >= 0.85 if fitted else None
            words = f"T6 SSIM of healthy scans{'' if fitted else ', no fit of grey values'}"
            lines.append(
                Line(words, "≥ 0.85" if fitted else "reported", with_ends(values, subjects), met, gate=fitted)
            )
        return lines

    def _fits(self) -> list[tuple[bool, DisentangledAnatomy]]:
        """The method as the run has it, and without its fit of grey values, if it has one."""
        bare = DisentangledAnatomy(self.method.config.model_copy(update={"regrade": False}), self.method.spec)
        return [(True, self.method), *([(False, bare)] if self.method.config.regrade else [])]

    def lesions(self, healthy: list[Batch], subjects: list[str], plain: Detector | None) -> list[Line]:
        """T7; a margin's interval is over subjects."""
        from sklearn.metrics import average_precision_score

        found: dict[str, list[float]] = {}
        owners: list[str] = []
        for batch, subject in zip(healthy, subjects, strict=True):
            lesioned, where = disc(batch, self.generator)
            images: dict[str, Tensor] = {}
            for fitted, method in self._fits():
                drawn = method.redraw(self.run.network, lesioned)
                words = "" if fitted else ", no fit of grey values"
                images[f"dal{words}"] = drawn.healthy
                images[f"not restored{words}"] = method.unrestored(self.run.network, lesioned, drawn)
            if plain is not None:
                other = plain.method.explain(plain.network, lesioned).healthy
                if other is None:
                    raise BadInput(f"{plain.name}: its method {plain.method.name!r} draws no healthy image")
                images["plain"] = other
            for row in range(len(batch)):
                inside = batch.roi[row, 0]
                truth = where[row][inside].numpy()
                owners.append(subject)
                for name, image in images.items():
                    far = (image - lesioned.images)[row, 0].abs()[inside]
                    found.setdefault(name, []).append(float(average_precision_score(truth, far.numpy())))
        name = "" if plain is None else f"`{plain.method.name}` ({plain.name})"
        return self._margins(found, owners, name)

    def _margins(self, found: Mapping[str, Sequence[float]], owners: Sequence[str], name: str) -> list[Line]:
        lines = []
        for fitted, _ in self._fits():
            words = "" if fitted else ", no fit of grey values"
            mine = np.asarray(found[f"dal{words}"])
            rivals = [("its own anatomy, not restored", found[f"not restored{words}"])]
            rivals += [(name, found["plain"])] if name else []
            for rival, values in rivals:
                value = float(np.mean(values))
                ends = with_ends(mine - np.asarray(values), owners, sign="+")
                said = f"{mine.mean():.3f}; margin {ends}"
                demand = f"> {value:.3f}" + ("" if fitted else ", reported")
                met = bool(mine.mean() > value) if fitted else None
                lines.append(Line(f"T7 AP on discs, beside {rival}{words}", demand, said, met, gate=fitted))
        if not name:
            lines.append(
                Line(
                    "T7 AP on discs, beside another method", "named by --plain", "not asked", False, gate=True
                )
            )
        return lines


def picture(run: Detector, healthy: list[Batch], path: Path, *, rows: int = 6) -> None:
    """Scan, anatomy, edges, restored anatomy and what is drawn; every other row with a disc."""
    from matplotlib.figure import Figure

    method = run.method
    assert isinstance(method, DisentangledAnatomy)
    generator = torch.Generator().manual_seed(0)
    step = max(1, len(healthy) // rows)
    shown = healthy[::step][:rows]
    figure = Figure(figsize=(2 * len(HEADS), 2.1 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), len(HEADS), squeeze=False)
    classes = method.classes
    for number, (batch, axes) in enumerate(zip(shown, grid, strict=True)):
        one = batch.pick(torch.tensor([0]))
        if number % 2:
            one, _ = disc(one, generator)
        found = method.redraw(run.network, one)
        fused = method.explain(run.network, one).maps["fused"][0]
        tiles = [
            (one.images[0, 0], "gray", 1.0),
            (found.anatomy[0].argmax(0), "nipy_spectral", classes),
            (found.edges[0].sum(0), "gray", 6.0),
            (found.restored[0].argmax(0), "nipy_spectral", classes),
            (method.unrestored(run.network, one, found)[0, 0], "gray", 1.0),
            (found.healthy[0, 0], "gray", 1.0),
            (fused, "inferno", 3.0),
        ]
        for axis, (tile, colours, top), head in zip(axes, tiles, HEADS, strict=True):
            axis.imshow(tile.numpy(), cmap=colours, vmin=0, vmax=top)
            axis.set_axis_off()
            if number == 0:
                axis.set_title(head, fontsize=10)
    figure.suptitle("research use, not a medical device", fontsize=8)
    figure.savefig(path, dpi=90)


def made(out: Path, manifest: Path, where: Sequence[str]) -> tuple[Path, Path, Path]:
    """A run of `dal`, one of `ae`, and pairs of contrasts below `out`, made where they are not there yet.

    Raises:
        SystemExit: a command failed, and said why.
    """
    from unlesion.cli.app import run as command

    for name, steps in STEPS.items():
        words = ["train", manifest, "--method", name, "--steps", steps, "--set", "training.contrast=0.5"]
        words += [word for condition in where for word in ("--where", condition)]
        words += ["--seed", 0, "--resume", "--out", out / name]
        if code := command([str(word) for word in words]):
            sys.exit(code)
    pairs = ["phantom", "--n", 12, "--modality", "T1,T2", "--out", out / "pairs"]
    if code := command([str(word) for word in pairs]):
        sys.exit(code)
    return out / "dal", out / "ae", out / "pairs" / "manifest.csv"


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "run", type=Path, metavar="RUN", nargs="?", help="of dal; made below --out if left out"
    )
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", nargs="?", default=IMPLANTS)
    parser.add_argument("--out", type=Path, help="where runs and pairs are made that are not named")
    parser.add_argument("--where", action="append", default=[], metavar="COL=A,B")
    parser.add_argument("--pairs", type=Path, metavar="MANIFEST", help="with T1 and T2 of every scan")
    parser.add_argument(
        "--plain", type=Path, metavar="RUN", help="of another method with the same recipe, for T7"
    )
    parser.add_argument("--scans", type=int, default=40, help="at most so many of each manifest")
    parser.add_argument("--picture", type=Path, help="where a picture of the parts goes")
    given = parser.parse_args(words)
    if (given.run is None) == (given.out is None):
        parser.error("give a run, or --out, where one is made")
    try:
        if given.out is not None:
            given.run, given.plain, given.pairs = made(given.out, given.manifest, given.where)
        lines, said = asked(given)
    except BadInput as error:
        sys.exit(str(error))
    print("| test | demanded | found | met |\n|---|---|---|---|")
    print("\n".join(line.row() for line in lines))
    print(f"\n{said}")
    failed = [line.what for line in lines if line.gate and not line.met]
    if failed:
        print(f"Not met, and a gate: {'; '.join(failed)}.")
        sys.exit(1)


def asked(given: argparse.Namespace) -> tuple[list[Line], str]:
    """All lines, and of how many scans they are."""
    run = Detector.load(given.run)
    acceptance = Acceptance(run)
    plain = None if given.plain is None else Detector.load(given.plain)
    if plain is not None and plain.recipe.digest != run.recipe.digest:
        raise BadInput(f"{given.plain}: prepares scans by another recipe than {given.run}")
    rows = Cohort.open(given.manifest, where=given.where).select(split="test", label="healthy")
    healthy, subjects = batches(run, rows, run.recipe, most=given.scans)
    pairs: list[Batch] = []
    owners: list[str] = []
    if given.pairs is not None:
        joined = Cohort.open(given.pairs, channels=("T1", "T2")).select(label="healthy")
        recipe = run.recipe
        if recipe.kind == "picture" and len(joined) and joined[0].read().voxels.shape[-1] > 1:
            recipe = load_recipe("brain-mri", {"size": recipe.size})
        pairs, owners = batches(run, joined, recipe, most=given.scans)
    lines = [*acceptance.exact(healthy), acceptance.remaps(healthy)]
    lines += acceptance.pairs(pairs) if pairs else []
    lines += acceptance.leakage(healthy, subjects, pairs, owners)
    lines += [*acceptance.fidelity(healthy, subjects), *acceptance.lesions(healthy, subjects, plain)]
    if given.picture is not None:
        picture(run, healthy, given.picture)
    return lines, f"{len(healthy)} healthy scans of {len(set(subjects))} subjects, {len(pairs)} pairs."


if __name__ == "__main__":
    main()
