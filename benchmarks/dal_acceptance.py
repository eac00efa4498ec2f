"""Does a run of `dal` do what its design demands? The acceptance tests that need a trained run, as a table.

    python benchmarks/dal_acceptance.py RUN MANIFEST --where source=oasis_t1_2d
    unlesion phantom --n 12 --out work/pairs --modality T1,T2
    python benchmarks/dal_acceptance.py RUN MANIFEST --pairs work/pairs/manifest.csv --plain AE_RUN --picture parts.png

T3, contrast: mean Dice over tissues of the anatomies of two contrasts of one head (T1 and T2 of `--pairs`), and of an
image and a random map of its grey values. T4, swap: SSIM of the T2 image and one drawn from the T1's anatomy with the
T2's code. T5, leakage (reported): explained variance of slice height and accuracy of the contrast's name, each read off
the code by a linear probe, on subjects that the probe did not see. T6, fidelity: SSIM of healthy scans and their healthy
images inside the roi. T7, lesions: mean AP of the residual on discs of a grey unlike the tissue beneath, beside that of
the image drawn from the scan's own anatomy (no restoration) and of `--plain`, a run of another method. T1, T2 and T8 are
exact and stand in the tests. A demand is met or not; without pairs T3 on pairs, T4 and the contrast of T5 are left out.

Scans: the healthy test rows of MANIFEST, of volumes the slices with most roi. Where pairs are volumes
and the run learnt from pictures, they are prepared by the recipe brain-mri at the run's size. A run that learnt one contrast was shown
others as random maps only, so T4 asks more of it than of one that learnt both. For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unlesion.detector import Detector, batches_of
from unlesion.errors import BadInput
from unlesion.methods.anatomy.dal import DisentangledAnatomy
from unlesion.methods.batch import Batch
from unlesion.networks.contrast_maps import random_contrast
from unlesion.networks.overlap import grouped
from unlesion.networks.ssim import ssim_map
from unlesion.prepare import Recipe, load_recipe
from unlesion.scans import Cohort
from unlesion.sweep import sweep

Floats = NDArray[np.float64]
# Slices of a volume that are looked at: those with most roi.
SLICES = 4
# A disc differs from the median of what it covers by this at least.
CONTRAST = 0.25
HEADS = ("scan", "anatomy", "edges", "restored", "not restored", "healthy", "map")


@dataclass(frozen=True)
class Line:
    """A row of the table: what, the demand in words, what was found, and whether it was met (None: reported)."""

    what: str
    demand: str
    found: str
    met: bool | None

    def row(self) -> str:
        """In Markdown."""
        met = {True: "yes", False: "no", None: "–"}[self.met]
        return f"| {self.what} | {self.demand} | {self.found} | {met} |"


def chosen(batch: Batch) -> Batch:
    """The slices with most roi."""
    size = batch.roi.flatten(1).sum(1)
    return batch.pick(size.argsort(descending=True)[:SLICES].sort().values)


def batches(run: Detector, cohort: Cohort, recipe: Recipe, *, most: int) -> tuple[list[Batch], list[str]]:
    """One batch a scan, and its subject."""
    found, subjects = [], []
    # Spread over the cohort, so that there are many subjects.
    entries = list(cohort)[:: max(1, len(cohort) // most)][:most]
    for swept in sweep(entries, recipe):
        if swept.prepared is None:
            print(swept.problem, file=sys.stderr)
            continue
        parts = [batch for _, batch in batches_of(swept.prepared, seed=run.seed)]
        if parts:
            biggest = max(parts, key=lambda part: int(part.roi.sum()))
            found.append(chosen(biggest))
            subjects.append(swept.entry.subject or swept.entry.key)
    if not found:
        raise BadInput(f"{cohort.name}: no healthy test scan to measure on; choose others with --where")
    return found, subjects


def one_channel(batch: Batch, channel: int) -> Batch:
    """A batch of one of its channels."""
    return replace(
        batch,
        images=batch.images[:, channel : channel + 1].clone(),
        modality=tuple((names[channel],) for names in batch.modality),
    )


def tissue_dice(first: Tensor, second: Tensor, *, tissues: int) -> Floats:
    """(tissues,) Dice of two anatomies (B, 1 + K, ...) over all their pixels; NaN where neither has any."""
    one, other = (grouped(anatomy[:, 1:], tissues).transpose(0, 1).flatten(1) for anatomy in (first, second))
    both, total = (one * other).sum(1), (one + other).sum(1)
    return np.where(total.numpy() > 0, (2 * both / total.clamp(min=1e-9)).numpy(), np.nan).astype(np.float64)


def similarity(first: Tensor, second: Tensor, roi: Tensor) -> float:
    """Mean SSIM inside the roi."""
    return float(ssim_map(first, second)[roi.expand_as(first)].mean())


def disc(batch: Batch, generator: torch.Generator) -> tuple[Batch, Tensor]:
    """A disc in every image, of a grey unlike the tissue beneath; where they are, (B, H, W)."""
    images, side = batch.images.clone(), batch.images.shape[-1]
    where = torch.zeros_like(batch.roi)
    axis = torch.arange(side)
    for row in range(len(batch)):
        places = batch.roi[row, 0].nonzero()
        centre = places[int(torch.randint(len(places), (), generator=generator))]
        radius = side * (0.04 + 0.06 * float(torch.rand((), generator=generator)))
        inside = (axis[:, None] - centre[0]) ** 2 + (axis[None] - centre[1]) ** 2 <= radius**2
        inside = inside & batch.roi[row, 0]
        beneath = float(images[row, 0][inside].median())
        greys = [grey for grey in np.linspace(0.1, 1.2, 12) if abs(grey - beneath) >= CONTRAST]
        images[row, :, inside] = greys[int(torch.randint(len(greys), (), generator=generator))]
        where[row, 0] = inside
    return replace(batch, images=images), where[:, 0]


def probes(
    codes: Floats, heights: Floats, names: Sequence[str], subjects: Sequence[str]
) -> tuple[float, float]:
    """R² of heights and accuracy of names read off codes, on subjects that were left out; NaN where there is one only."""
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.metrics import accuracy_score, r2_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    explained, right = float("nan"), float("nan")
    if len(set(subjects)) < 2:
        return explained, right
    folds = GroupKFold(min(5, len(set(subjects))))
    if np.ptp(heights) > 0:
        ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 7)))
        guess = cross_val_predict(ridge, codes, heights, groups=subjects, cv=folds)
        explained = float(r2_score(heights, guess))
    if len(set(names)) > 1:
        logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        right = float(
            accuracy_score(names, cross_val_predict(logistic, codes, names, groups=subjects, cv=folds))
        )
    return explained, right


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
        return Line("T3 Dice under random maps", "≥ 0.90", f"{value:.3f}", value >= 0.9)

    def pairs(self, pairs: list[Batch]) -> list[Line]:
        """T3 and T4 on pairs of contrasts."""
        dice, swapped = [], []
        for batch in pairs:
            one, other = (self.method.redraw(self.run.network, one_channel(batch, c)) for c in (0, 1))
            dice.append(np.nanmean(tissue_dice(one.anatomy, other.anatomy, tissues=self.tissues)))
            drawn = self.method.recoupled(self.run.network, one.anatomy, other.code, batch.roi)
            swapped.append(similarity(drawn, batch.images[:, 1:2] * batch.roi, batch.roi))
        first, second = float(np.mean(dice)), float(np.mean(swapped))
        return [
            Line("T3 Dice of T1's and T2's anatomy", "≥ 0.85", f"{first:.3f}", first >= 0.85),
            Line("T4 SSIM of T2 from T1's anatomy", "≥ 0.90", f"{second:.3f}", second >= 0.9),
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

    def fidelity(self, healthy: list[Batch]) -> Line:
        """T6."""
        values = [
            similarity(self.method.redraw(self.run.network, batch).healthy, batch.images, batch.roi)
            for batch in healthy
        ]
        value = float(np.mean(values))
        return Line("T6 SSIM of healthy scans", "≥ 0.85", f"{value:.3f}", value >= 0.85)

    def lesions(self, healthy: list[Batch], plain: Detector | None) -> list[Line]:
        """T7."""
        from sklearn.metrics import average_precision_score

        found: dict[str, list[float]] = {}
        for batch in healthy:
            lesioned, where = disc(batch, self.generator)
            drawn = self.method.redraw(self.run.network, lesioned)
            unrestored = self.method.unrestored(self.run.network, lesioned, drawn)
            images = {"dal": drawn.healthy, "not restored": unrestored}
            if plain is not None:
                other = plain.method.explain(plain.network, lesioned).healthy
                if other is None:
                    raise BadInput(f"{plain.name}: its method {plain.method.name!r} draws no healthy image")
                images[plain.method.name] = other
            for row in range(len(batch)):
                inside = batch.roi[row, 0]
                truth = where[row][inside].numpy()
                for name, image in images.items():
                    far = (image - lesioned.images)[row, 0].abs()[inside]
                    found.setdefault(name, []).append(float(average_precision_score(truth, far.numpy())))
        means = {name: float(np.mean(values)) for name, values in found.items()}
        return [
            Line(
                f"T7 AP on discs, beside {name}",
                f"> {value:.3f}",
                f"{means['dal']:.3f}",
                means["dal"] > value,
            )
            for name, value in means.items()
            if name != "dal"
        ]


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


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument("--where", action="append", default=[], metavar="COL=A,B")
    parser.add_argument("--pairs", type=Path, metavar="MANIFEST", help="with T1 and T2 of every scan")
    parser.add_argument(
        "--plain", type=Path, metavar="RUN", help="of another method with the same recipe, for T7"
    )
    parser.add_argument("--scans", type=int, default=40, help="at most so many of each manifest")
    parser.add_argument("--picture", type=Path, help="where a picture of the parts goes")
    given = parser.parse_args(words)
    try:
        run = Detector.load(given.run)
        acceptance = Acceptance(run)
        plain = None if given.plain is None else Detector.load(given.plain)
        if plain is not None and plain.recipe.digest != run.recipe.digest:
            raise BadInput(f"{given.plain}: prepares scans by another recipe than {given.run}")
        chosen_rows = Cohort.open(given.manifest, where=given.where).select(split="test", label="healthy")
        healthy, subjects = batches(run, chosen_rows, run.recipe, most=given.scans)
        pairs: list[Batch] = []
        owners: list[str] = []
        if given.pairs is not None:
            joined = Cohort.open(given.pairs, channels=("T1", "T2")).select(label="healthy")
            recipe = run.recipe
            if recipe.kind == "picture" and len(joined) and joined[0].read().voxels.shape[-1] > 1:
                recipe = load_recipe("brain-mri", {"size": recipe.size})
            pairs, owners = batches(run, joined, recipe, most=given.scans)
    except BadInput as error:
        sys.exit(str(error))
    lines = [acceptance.remaps(healthy)]
    lines += acceptance.pairs(pairs) if pairs else []
    lines += acceptance.leakage(healthy, subjects, pairs, owners)
    lines += [acceptance.fidelity(healthy), *acceptance.lesions(healthy, plain)]
    print("| test | demanded | found | met |\n|---|---|---|---|")
    print("\n".join(line.row() for line in lines))
    print(f"\n{len(healthy)} healthy scans of {len(set(subjects))} subjects, {len(pairs)} pairs.")
    if given.picture is not None:
        picture(run, healthy, given.picture)


if __name__ == "__main__":
    main()
