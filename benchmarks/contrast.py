"""Does a redrawn image keep the grey values of healthy tissue, also at a contrast that training did not show?

    python benchmarks/contrast.py DDPM_RUN CDDPM_RUN MANIFEST --where source=lgg_flair --picture contrast.png
    python benchmarks/contrast.py DDPM_RUN CDDPM_RUN MANIFEST --levels 500   # both from the same noise level
    python benchmarks/contrast.py DDPM_RUN CDDPM_RUN MANIFEST --codes        # does the code or the noisy image tell?
    python benchmarks/contrast.py DDPM_RUN CDDPM_RUN MANIFEST --powers       # contrasts that training showed

The claim is that of Behrendt et al., arXiv 2312.04215: the divergence of `ddpm` is a multiple of that of `cddpm`. The
ratio is that of the first run to each other one, above 1 where the first run is the worse one.

Pixels: those of the test scans inside the roi of the recipe, and at no part inside an annotated lesion. Scans with
lesions that nobody outlined are left out.

Contrast: the prepared grey values times 0.5, 1 or 2, after the recipe's normalisation, which would otherwise take the
factor back; 0 stays 0. The paper does not say how it changed contrast. What exceeds the recipe's ceiling of 1.5 is cut
to it, as the recipe does, before the image is redrawn. Such pixels have lost their grey value, so they are left out of
both histograms; the column "cut" is their share of the healthy pixels. All runs are judged on the same pixels.

Divergence: KL(scan || redrawn) in nats, over 500 bins from 0 to 1.5, the same for all scans, runs and factors; redrawn
values beyond are counted in the outermost bins. Every bin of both histograms gets half a pixel more, so that it stays
finite. "Per scan" is the mean over scans. Where scans are slices of a thousand pixels or so, 500 bins are sparse: chance
adds to such a divergence, and the 250 pixels that were added hold it down, so ratios come out nearer to 1. "Pooled", of
the histograms of all scans together, hardly suffers from either. Intervals: 95 %, bootstrap over subjects; for ratios
the same subjects for both runs. "Grey" is the mean of what is redrawn over the mean of the scan, all pixels together.

With `--powers` the contrast is changed as `training.contrast=0.5` changes it: x becomes 0.5 (2 x) ** g with g 0.71, 1 or
1.41, the ends of what training shows. The middle grey of tissue stays, so that these contrasts are known to the runs.

With `--codes` every run of `cddpm` redraws the same noisy scan once more, told the code of the scan at its own contrast
("unscaled code"). If that is as near to the scan as its own code, the code says nothing of the contrast.

For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from unlesion.batching import batches_of
from unlesion.cli.options import pick_device
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.methods.diffusion.cddpm import ConditionedDDPM
from unlesion.prepare import Prepared
from unlesion.prepare.normalise import CEILING
from unlesion.prepare.resample import to_prepared
from unlesion.scans import Cohort, Entry, Scan
from unlesion.settings import validated
from unlesion.sweep import sweep

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

FACTORS = (0.5, 1.0, 2.0)
POWERS = (0.71, 1.0, 1.41)
BINS = 500
# Pixels that every bin gets more.
MORE = 0.5
# A prepared pixel with more than this part of its value from a lesion is not healthy.
LEAST_LESION = 0.01
COLOURS = ("#c2500a", "#2166ac", "#6a4c93", "#1a7f5a", "#8c6d1f")


def healthy_pixels(scan: Scan, prepared: Prepared) -> Mask:
    """(S, H, W) bool: in the roi, and no part of it in a lesion."""
    if scan.lesions is None:
        return prepared.roi.copy()
    voxels = scan.lesions[None].astype(np.float32)
    share, _ = to_prepared(voxels, np.ones(scan.lesions.shape, bool), prepared.placement)
    return np.asarray(prepared.roi & (share[0].transpose(2, 0, 1) <= LEAST_LESION))


def counted(values: NDArray[np.floating]) -> Floats:
    """(BINS,) how many grey values lie in each bin; those beyond the range in the outermost."""
    return np.histogram(np.clip(values, 0.0, CEILING), bins=BINS, range=(0.0, CEILING))[0].astype(np.float64)


def divergence(scan: Floats, redrawn: Floats) -> Floats:
    """KL(scan || redrawn) in nats of histograms along the last axis."""
    p, q = ((counts + MORE) / (counts + MORE).sum(-1, keepdims=True) for counts in (scan, redrawn))
    return np.asarray((p * np.log(p / q)).sum(-1))


@dataclass
class Histograms:
    """The healthy tissue of all scans at one factor.

    Attributes:
        scan: (BINS,) of each scan.
        redrawn: by run, the same.
        subjects: of each scan.
        healthy, cut: pixels of all scans, and how many of them the ceiling cut.
        total: sum of the grey values of all scans' pixels; of what is redrawn, by run, in `drawn`.
    """

    scan: list[Floats] = field(default_factory=list)
    redrawn: dict[str, list[Floats]] = field(default_factory=dict)
    subjects: list[str] = field(default_factory=list)
    healthy: int = 0
    cut: int = 0
    total: float = 0.0
    drawn: dict[str, float] = field(default_factory=dict)

    def add(
        self,
        factor: float,
        prepared: Prepared,
        healthy: Mask,
        runs: dict[str, Detector],
        *,
        codes: bool = False,
        power: bool = False,
    ) -> None:
        """One more scan, redrawn by all runs; with `codes` those of `cddpm` are told the unscaled code, too.

        With `power` the factor is the power of grey values.
        """
        images, by = prepared.images, np.float32(factor)
        scaled = np.float32(0.5) * (2 * images.clip(min=0)) ** by if power else images * by
        changed = replace(prepared, images=np.minimum(scaled, np.float32(CEILING)))
        pixels = np.broadcast_to(healthy[:, None], scaled.shape)
        # Before the factor the recipe cut, too.
        kept = pixels & (np.maximum(scaled, prepared.images) < CEILING)
        self.healthy += int(pixels.sum())
        self.cut += int(pixels.sum() - kept.sum())
        if not kept.any():
            return
        for name, run in runs.items():
            drawn = run.evidence(changed, device=pick_device("auto")).healthy
            if drawn is None:
                raise BadInput(f"{name}: its method {run.method.name!r} draws no healthy image")
            self._count(name, drawn[kept])
            if codes and isinstance(run.method, ConditionedDDPM):
                self._count(f"{name}, unscaled code", told(run, run.method, changed, prepared)[kept])
        self.scan.append(counted(changed.images[kept]))
        self.total += float(changed.images[kept].sum(dtype=np.float64))
        self.subjects.append(prepared.subject or prepared.key)

    def _count(self, name: str, drawn: NDArray[np.float32]) -> None:
        self.redrawn.setdefault(name, []).append(counted(drawn))
        self.drawn[name] = self.drawn.get(name, 0.0) + float(drawn.sum(dtype=np.float64))

    def by_subject(self, values: Floats) -> Floats:
        """(K, ...) sums over the scans of each subject of values (scans, ...)."""
        names, which = np.unique(self.subjects, return_inverse=True)
        out = np.zeros((len(names), *values.shape[1:]))
        np.add.at(out, which, values)
        return out

    def per_scan(self, run: str) -> Callable[[Floats], Floats]:
        """The mean divergence of a scan, as a function of (R, K) weights of subjects."""
        each = divergence(np.array(self.scan), np.array(self.redrawn[run]))
        total, number = self.by_subject(each), self.by_subject(np.ones(len(each)))
        return lambda weights: (weights @ total) / (weights @ number)

    def pooled(self, run: str) -> Callable[[Floats], Floats]:
        """The divergence of all scans together, likewise."""
        scan, redrawn = (self.by_subject(np.array(rows)) for rows in (self.scan, self.redrawn[run]))
        return lambda weights: divergence(weights @ scan, weights @ redrawn)


def told(
    run: Detector, method: ConditionedDDPM, changed: Prepared, prepared: Prepared
) -> NDArray[np.float32]:
    """(S, C, H, W): the changed scan redrawn with the codes of the unchanged one, and the same noise as always."""
    device = pick_device("auto")
    network = run.network.to(device).eval()
    healthy: NDArray[np.float32] = changed.images.copy()
    pairs = zip(batches_of(changed, seed=run.seed), batches_of(prepared, seed=run.seed), strict=True)
    for (where, batch), (_, other) in pairs:
        with torch.no_grad():
            drawn = method.swapped(network, batch.to(device), other.to(device)).mean(0).float().cpu().numpy()
        healthy[where] = np.where(batch.roi.numpy(), drawn, changed.images[where])
    return healthy


def measured(
    runs: dict[str, Detector], cohort: Cohort, *, codes: bool = False, power: bool = False
) -> dict[float, Histograms]:
    """Histograms by factor; a scan that cannot be used is named on standard error."""
    found = {factor: Histograms() for factor in (POWERS if power else FACTORS)}
    recipe = next(iter(runs.values())).recipe
    for swept in sweep([entry for entry in cohort if outlined(entry)], recipe):
        if swept.scan is None or swept.prepared is None:
            print(swept.problem, file=sys.stderr)
            continue
        healthy = healthy_pixels(swept.scan, swept.prepared)
        if not healthy.any():
            print(f"{swept.entry.key}: no healthy tissue", file=sys.stderr)
            continue
        for factor, histograms in found.items():
            histograms.add(factor, swept.prepared, healthy, runs, codes=codes, power=power)
    if not all(histograms.scan for histograms in found.values()):
        raise BadInput(f"{cohort.name}: no test scan to measure on; choose others with --where")
    return found


def outlined(entry: Entry) -> bool:
    """Whether it is known where its lesions are."""
    return entry.label == "healthy" or entry.mask_path is not None


def cell(statistic: Callable[[Floats], Floats], subjects: int) -> str:
    """A value with its interval; below 5 subjects there is none."""
    value = float(statistic(np.ones((1, subjects)))[0])
    interval = Bootstrap().interval(statistic, subjects)
    return f"{value:.3g}" + (f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else "")


def ratio(one: Callable[[Floats], Floats], other: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """One statistic over another of the same subjects; NaN where the other is 0."""

    def of_weights(weights: Floats) -> Floats:
        above, below = one(weights), other(weights)
        return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)

    return of_weights


def table(found: dict[float, Histograms], runs: dict[str, Detector], *, power: bool = False) -> str:
    """A row per factor and run, in Markdown."""
    first = next(iter(runs))
    lines = [
        f"| contrast | cut | run | KLD per scan | KLD pooled | {first} to this, per scan | pooled | grey |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for factor, histograms in found.items():
        subjects = len(set(histograms.subjects))
        share = histograms.cut / histograms.healthy
        for name in histograms.redrawn:
            ways = (histograms.per_scan, histograms.pooled)
            cells = [cell(way(name), subjects) for way in ways]
            ratios = [cell(ratio(way(first), way(name)), subjects) for way in ways]
            cells += ["", ""] if name == first else ratios
            cells.append(f"{histograms.drawn[name] / histograms.total:.2f}")
            change = f"power {factor:g}" if power else f"{factor:g}×"
            lines.append(f"| {change} | {100 * share:.1f} % | {name} | {' | '.join(cells)} |")
    one = found[1.0]
    lines += [
        "",
        f"{len(one.scan)} scans of {len(set(one.subjects))} subjects, {one.healthy} healthy pixels.",
    ]
    lines += [f"{name}: {about(run)}" for name, run in runs.items()]
    return "\n".join(lines)


def about(run: Detector) -> str:
    """What must be alike for a fair comparison."""
    levels = getattr(run.method.config, "t_test", None)
    contrast = run.record.get("training", {}).get("contrast")
    steps = run.record.get("steps") or {}
    stages = " + ".join(f"{number} of {stage}" for stage, number in steps.items())
    return (
        f"{run.method.name}, steps {stages or 'unknown'}, seed {run.seed}, training.contrast {contrast}"
        + (f", noise levels {', '.join(map(str, levels))}" if levels else "")
    )


def picture(found: dict[float, Histograms], path: Path) -> None:
    """The pooled histograms: grey the scans, a line a run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.6 * len(found)), layout="constrained")
    places = (np.arange(BINS) + 0.5) * CEILING / BINS
    for axes, (factor, histograms) in zip(
        figure.subplots(len(found), 1, sharex=True), found.items(), strict=True
    ):
        scans = np.sum(histograms.scan, axis=0)
        axes.fill_between(places, scans / max(scans.sum(), 1), color="#c9ced6", step="mid", label="scans")
        for number, (name, rows) in enumerate(histograms.redrawn.items()):
            total = np.sum(rows, axis=0)
            colour = COLOURS[number % len(COLOURS)]
            axes.plot(places, total / max(total.sum(), 1), color=colour, linewidth=0.9, label=name)
        axes.set_title(f"contrast {factor:g}×", loc="left", fontsize=10)
        # The outermost bins may hold far more than all others.
        axes.set_ylim(0, 1.4 * float(np.max(scans[1:-1] / max(scans.sum(), 1))) or 1.0)
        axes.set_ylabel("share of pixels")
    figure.axes[0].legend(frameon=False)
    figure.axes[-1].set_xlabel("grey value after the recipe (research use, not a medical device)")
    figure.savefig(path, dpi=120)


def loaded(folders: list[Path], levels: tuple[int, ...]) -> dict[str, Detector]:
    """The runs by name, all of one recipe; with these noise levels if there are any."""
    runs: dict[str, Detector] = {}
    for folder in folders:
        run = Detector.load(folder)
        if levels:
            if not hasattr(run.method.config, "t_test"):
                raise BadInput(
                    f"{folder}: method {run.method.name!r} has no noise levels; leave out --levels"
                )
            settings = {**run.method.config.model_dump(mode="json"), "t_test": levels}
            config = validated(type(run.method).Config, settings, what="method")
            run = replace(run, method=type(run.method)(config, run.method.spec))
        name = folder.name if folder.name not in runs else str(folder)
        runs[name] = run
    if len({run.recipe.digest for run in runs.values()}) > 1:
        raise BadInput("the runs prepare scans by different recipes, so their grey values do not compare")
    return runs


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("manifest", type=Path, metavar="MANIFEST")
    parser.add_argument("--where", action="append", default=[], metavar="COL=A,B")
    parser.add_argument(
        "--levels", nargs="+", type=int, default=[], help="noise levels instead of each run's own"
    )
    parser.add_argument("--powers", action="store_true", help="bend grey values instead of scaling them")
    parser.add_argument("--codes", action="store_true", help="tell codes of the unscaled scans, too")
    parser.add_argument("--picture", type=Path, default=Path("contrast.png"), help="where the histograms go")
    given = parser.parse_args(words)
    try:
        runs = loaded(given.runs, tuple(given.levels))
        cohort = Cohort.open(given.manifest, where=given.where).select(split="test")
        found = measured(runs, cohort, codes=given.codes, power=given.powers)
    except BadInput as error:
        sys.exit(str(error))
    print(table(found, runs, power=given.powers))
    picture(found, given.picture)


if __name__ == "__main__":
    main()
