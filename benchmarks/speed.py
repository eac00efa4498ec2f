"""Speed as ratios, in one run: preparing against a bare read, detection by stage, training against a bare loop.

    python benchmarks/speed.py            # preparing, detection, training
    python benchmarks/speed.py training   # one of them
    python benchmarks/speed.py demo       # how long `unlesion demo` takes, as a user would run it

Everything is measured on volumes and slices made here; nothing is downloaded. Timings are those of this
machine; only the ratios compare. For research use only.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

SHAPE = (182, 218, 182)

# The command line in a process of its own, which says last how much memory it took at most (KiB).
# Not `ru_maxrss`: on Linux a child's begins at its parent's peak, and the parent has made a phantom.
COMMAND = """
import pathlib, sys
from unlesion.cli.app import run
code = run(sys.argv[1:])
status = pathlib.Path("/proc/self/status").read_text().split()
print(status[status.index("VmHWM:") + 1])
sys.exit(code)
"""


def median_seconds(work: Callable[[], object], *, repeats: int = 3) -> float:
    """Median duration of a piece of work, after one untimed go."""
    work()
    durations = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)


def command(*words: object) -> tuple[float, int]:
    """Seconds and peak memory (KiB) of a command, in a process that does nothing else."""
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True
    )
    return time.perf_counter() - began, int(ended.stdout.split()[-1])


def virtual_volume(folder: Path) -> Path:
    """A skull-stripped virtual brain on the 182 x 218 x 182 grid of 1 mm, as NIfTI."""
    from unlesion.phantom import make_subject

    subject = make_subject(0, modality="T1", spacing_mm=1.0)
    image = np.asarray(subject.image, dtype=np.float32)
    out = np.zeros(SHAPE, np.float32)
    part = tuple(slice(0, min(a, b)) for a, b in zip(SHAPE, image.shape, strict=True))
    out[part] = image[part]
    path = folder / "volume.nii.gz"
    nib.save(nib.Nifti1Image(out, subject.affine), path)
    return path


def preparing(folder: Path) -> None:
    """How much longer preparing takes than nibabel's bare read of the same file."""
    from unlesion.prepare import load_recipe
    from unlesion.scans import read_scan

    path = virtual_volume(folder)
    recipe = load_recipe("brain-mri", {"size": 64})
    bare = median_seconds(lambda: np.asarray(nib.load(path).dataobj, dtype=np.float32))
    ours = median_seconds(lambda: read_scan(path, key="volume"))
    scan = read_scan(path, key="volume")
    whole = median_seconds(lambda: recipe.prepare(scan))
    print("preparing one 182x218x182 volume (one core's work, median of 3)")
    print(f"  nibabel's bare read        {bare:6.2f} s   1.0")
    print(f"  our read, checked          {ours:6.2f} s   {ours / bare:.1f}")
    print(f"  recipe, template included  {whole:6.2f} s   {whole / bare:.1f}")


def detection(folder: Path) -> None:
    """Detection of one volume, end to end and by stage, with peak memory."""
    from unlesion.detection import write_detection
    from unlesion.detector import Detector
    from unlesion.methods.base import InputSpec
    from unlesion.methods.registry import get_method
    from unlesion.prepare import load_recipe
    from unlesion.scans import read_scan, write_float
    from unlesion.scoring import ScoringConfig, make_scorer

    path = virtual_volume(folder)
    method_class = get_method("dae")
    method = method_class(method_class.config_for("cpu"), InputSpec())
    detector = Detector(
        recipe=load_recipe("brain-mri", {"size": 64}),
        method=method,
        network=method.build().eval(),
        scorers={"native": make_scorer(ScoringConfig())},
    )
    print("detection in one 182x218x182 volume, dae at 64 pixels")
    scan = read_scan(path, key="volume")
    prepared = detector.prepare(scan)
    evidence = detector.evidence(prepared)
    scores = detector.scorers["native"].map(evidence)
    stages = {
        "read": lambda: read_scan(path, key="volume"),
        "prepare": lambda: detector.prepare(scan),
        "network": lambda: detector.evidence(prepared),
        "score": lambda: detector.scorers["native"].map(evidence),
        "back to the scan's grid": lambda: (
            detector.prepare(scan, prepared).restore(scores),
            prepared.restore_healthy(evidence.healthy),
        ),
        "write one map": lambda: write_float(folder / "anomaly", prepared.restore(scores), scan.grid),
    }
    seconds = {name: median_seconds(work) for name, work in stages.items()}
    total = sum(seconds.values())
    for name, duration in seconds.items():
        print(f"  {name:24} {duration:6.2f} s  {100 * duration / total:4.0f} %")

    def whole() -> None:
        read = read_scan(path, key="volume")
        write_detection(
            detector.detect(read),
            read,
            folder / "found",
            run="run",
            recipe=detector.recipe.digest,
            scale=None,
        )

    print(f"  {'end to end, with writing':24} {median_seconds(whole):6.2f} s; {len(prepared)} slices")
    detector.save(folder / "run")
    # Another folder each time: what is done already would be skipped.
    verbs = [
        command("detect", folder / "run", path, "--out", folder / f"out{turn}", "--device", "cpu", "--quiet")
        for turn in range(3)
    ]
    seconds_of_verb = statistics.median(seconds for seconds, _ in verbs)
    print(f"  {'unlesion detect':24} {seconds_of_verb:6.2f} s; start, preview and report included")
    print(f"  peak memory of `unlesion detect` {max(peak for _, peak in verbs) / 1024:.0f} MiB")


def training(folder: Path) -> None:
    """Images per second of `fit_stages` against a bare PyTorch loop of the same network and loss.

    Ours count from step to step, so with all that happens between them.
    """
    from unlesion.methods.base import InputSpec, StepContext
    from unlesion.methods.registry import get_method, preset_settings
    from unlesion.prepare import load_recipe, prepare_cohort
    from unlesion.progress import silent
    from unlesion.scans import Cohort
    from unlesion.training.config import TrainingConfig
    from unlesion.training.fit import fit_stages
    from unlesion.training.source import SliceSource

    rng = np.random.default_rng(0)
    from PIL import Image

    for number in range(64):
        Image.fromarray(rng.integers(20, 255, (64, 64), dtype=np.uint8)).save(folder / f"s{number}.png")
    cohort = Cohort.open(folder)
    recipe = load_recipe("slices", {"size": 64})
    store, _ = prepare_cohort(cohort, recipe, folder / "store")
    method_class = get_method("dae")
    settings = preset_settings(method_class, "cpu")
    method = method_class(method_class.config_for("cpu"), InputSpec())
    config = TrainingConfig(batch=settings["batch"])
    source = SliceSource(store, np.arange(len(store.positions)), batch=config.batch, seed=0)
    steps = 60

    def ours(turn: int) -> float:
        network = method.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        fitted = fit_stages(
            network=network,
            stages=method.stages(),
            source=source,
            config=config,
            run=folder / f"run{turn}",
            seed=0,
            minutes=None,
            steps=steps,
            resume=False,
            device="cpu",
            bars=silent,
        )
        return fitted.images_per_second

    def bare() -> float:
        network = method.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        (phase,) = method.stages()[0].phases
        optimizer = phase.optimizer(network.parameters())
        generator = torch.Generator().manual_seed(0)
        half = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        batch = source.draw("train", 0)
        began = time.perf_counter()
        for step in range(steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = phase.loss(network, batch, StepContext(generator=generator, progress=0, step=step))[
                    "loss"
                ]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), phase.clip_norm or 1.0)
            optimizer.step()
        return steps * config.batch / (time.perf_counter() - began)

    # Turn about, so that a busy minute of the machine hits both.
    pairs = [(ours(turn), bare()) for turn in range(3)]
    ratio = statistics.median(one / other for one, other in pairs)
    print(f"training dae/cpu, {steps} steps of {config.batch} images, three turns each")
    print(
        f"  ours {statistics.median(p[0] for p in pairs):.0f} images/s (batches drawn, EMA, history, checkpoints)"
    )
    print(f"  bare {statistics.median(p[1] for p in pairs):.0f} images/s (one fixed batch, optimiser only)")
    print(f"  ratio {ratio:.2f}")


def demo(folder: Path) -> None:
    """Seconds of a whole `unlesion demo` with its defaults."""
    seconds, _ = command("demo", "--out", folder / "demo", "--quiet")
    print(f"unlesion demo: {seconds:.0f} s from nothing to the report")


PARTS = {"preparing": preparing, "detection": detection, "training": training, "demo": demo}

if __name__ == "__main__":
    for part in sys.argv[1:] or ("preparing", "detection", "training"):
        with tempfile.TemporaryDirectory() as temporary:
            PARTS[part](Path(temporary))
