"""Detection by the diffusion methods against a plain loop over slices, noise levels and boxes, with the same network.

    OMP_NUM_THREADS=1 python benchmarks/diffusion_speed.py              # all seven methods at their cpu presets
    OMP_NUM_THREADS=1 python benchmarks/diffusion_speed.py cddpm andi   # some of them
    OMP_NUM_THREADS=1 python benchmarks/diffusion_speed.py RUN RUN      # trained ones: what does bfloat16 change?

The volume is a virtual head in slices 4 mm apart, the empty ones above and below the brain among them. The loop asks the
same network, in the same evaluation mode without gradients and from the same noise, about one slice, one level and one
box at a time; it looks at empty slices and empty boxes, too, and makes the code of a slice anew for every level, as
released code does. Both compute in float32; the column bf16 is ours in bfloat16 (`method.precision`).

Seconds are those of the processor, all threads together, so that on one thread another busy program matters little;
ours and the loop's alternate, and the ratio is the median of the turns. "passes" counts calls of the U-Net, "rows" the
images in them. Peaks are those of a whole process, PyTorch included. For research use only.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

NAMES = ("ddpm", "pddpm", "mddpm", "cddpm", "contrastive-ddpm", "anoddpm", "andi")
SIDE = 64
TURNS = 3
# No further turn after so many seconds.
LONG = 30


def virtual_slices() -> Any:
    """A batch of all slices of a virtual head, every second one of 2 mm, on 64 x 64 pixels."""
    from unlesion.methods.batch import Batch
    from unlesion.phantom import make_subject
    from unlesion.seeds import seed_of

    subject = make_subject(0, modality="T1", spacing_mm=2.0, site="A")
    image = torch.from_numpy(np.asarray(subject.image, dtype=np.float32)).moveaxis(-1, 0)[::2, None]
    longest = max(image.shape[2:])
    down, across = (longest - side for side in image.shape[2:])
    square = nn.functional.pad(image, (across // 2, across - across // 2, down // 2, down - down // 2))
    small = nn.functional.interpolate(square, size=(SIDE, SIDE), mode="area")
    roi = small > 0.05 * small.max()
    number = len(small)
    return Batch(
        images=(small / small[roi].quantile(0.98)).clamp(0, 1.5) * roi,
        roi=roi,
        position=torch.linspace(0, 1, number),
        spacing=torch.full((number, 2), 2.0 * longest / SIDE),
        modality=(("T1",),) * number,
        scan_ids=("head",) * number,
        seeds=torch.tensor([seed_of(0, "head", row) for row in range(number)]),
    )


def made(name: str) -> tuple[Any, Any]:
    """Of a run's folder its method and network; of a name the method at its cpu preset, and a network that was not trained but answers something."""
    from unlesion.detector import Detector
    from unlesion.methods.base import InputSpec
    from unlesion.methods.registry import get_method

    if Path(name).is_dir():
        run = Detector.load(Path(name))
        return type(run.method)(
            run.method.config.model_copy(update={"precision": "32"}), run.method.spec
        ), run.network
    torch.manual_seed(0)
    method_class = get_method(name)
    method = method_class(method_class.config_for("cpu", {"precision": "32"}), InputSpec(size=SIDE))
    network = method.build().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.02)
    return method, network


def ours(method: Any, network: nn.Module, batch: Any) -> Tensor:
    """The healthy volume, in batches like those of a detector."""
    from unlesion.batching import CHUNK

    healthy = torch.zeros_like(batch.images)
    with torch.no_grad():
        for rows in batch.roi.flatten(1).any(1).nonzero()[:, 0].split(CHUNK):
            healthy[rows] = method.explain(network, batch.pick(rows)).healthy
    return healthy


def loop(method: Any, network: Any, batch: Any) -> Tensor:
    """The same, one question at a time."""
    healthy = torch.zeros_like(batch.images)
    with torch.no_grad():
        for row in range(len(batch)):
            one = batch.pick(torch.tensor([row]))
            drawn = [one_level(method, network, one, *level) for level in method._levels()]
            healthy[row] = torch.stack(drawn).mean(0)[0]
    return healthy * batch.roi


def bf16(method: Any, network: nn.Module, batch: Any) -> Tensor:
    """As `ours`, with the network in bfloat16."""
    halved = type(method)(method.config.model_copy(update={"precision": "bf16"}), method.spec)
    return ours(halved, network, batch)


def one_level(method: Any, network: Any, one: Any, level: int, turn: int) -> Tensor:
    """One slice redrawn from one noise level, that was asked `turn` times before, (1, C, H, W) in grey values."""
    from unlesion.methods.diffusion.andi import GREY_VALUES
    from unlesion.methods.diffusion.ddpm import to_grey, to_signal

    code = method.code(network, one.images, one)
    if method.config.sampler != "one-step":
        return method._chain(network, one, code, level, turn)
    clean, noise, at = (
        to_signal(one.images, method.config.grey),
        method._field(one, level, turn),
        torch.tensor([level - 1]),
    )
    noisy = method.process.noisy(clean, noise, at)
    boxes, cells = method.regions(clean.device), method.used(clean.device)
    if boxes is None:
        drawn = to_grey(method.process.clean_of(network.unet(noisy, at, code), noisy, at), method.config.grey)
    else:
        drawn = torch.zeros_like(clean)
        for box, cell in zip(boxes, cells, strict=True):
            answer = network.unet(torch.where(box, noisy, clean), at, code)
            drawn = torch.where(
                cell, to_grey(method.process.clean_of(answer, noisy, at), method.config.grey), drawn
            )
    return drawn.clamp(*GREY_VALUES) if method.name == "andi" else drawn


# The loop first: it takes the least memory, and what a process once took it keeps.
WAYS: dict[str, Callable[[Any, Any, Any], Tensor]] = {"loop": loop, "ours": ours, "bf16": bf16}


def measured(name: str, batch: Any) -> dict[str, Any]:
    """Seconds, passes and rows of all ways, turn about, and how far their volumes differ from the loop's."""
    method, network = made(name)
    asked: list[int] = []
    network.unet.register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0])))
    found: dict[str, Any] = {way: {"seconds": []} for way in WAYS}
    drawn = {}
    middle = batch.pick(torch.tensor([len(batch) // 2]))
    for work in WAYS.values():
        work(method, network, middle)
    spent = 0.0
    while len(found["loop"]["seconds"]) < TURNS and spent < LONG:
        for way, work in WAYS.items():
            asked.clear()
            if way not in drawn:
                forget_peak()
            began = time.process_time()
            found_volume = work(method, network, batch)
            seconds = time.process_time() - began
            found[way]["seconds"].append(seconds)
            spent += seconds
            if way not in drawn:
                found[way] |= {"passes": len(asked), "rows": sum(asked), "peak": peak()}
            drawn[way] = found_volume
    for way, volume in drawn.items():
        found[way]["difference"] = float((volume - drawn["loop"]).abs().max())
    return found


def peak() -> int:
    """Most memory that this process held since `forget_peak`, in KiB (Linux)."""
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1])


def forget_peak() -> None:
    """Let the peak begin anew at what is held now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def command(*words: object) -> str:
    """What this file prints last when started anew with these words."""
    ended = subprocess.run(
        [sys.executable, __file__, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True
    )
    return ended.stdout.splitlines()[-1]


def row(name: str, volume: Path) -> str:
    """All that is measured of a method, in a process of its own."""
    found = json.loads(command("measured", name, volume))
    seconds = {way: found[way]["seconds"] for way in WAYS}
    middle = {way: statistics.median(values) for way, values in seconds.items()}
    times, half_times = (
        statistics.median(b / a for a, b in zip(seconds[way], seconds["loop"], strict=True))
        for way in ("ours", "bf16")
    )
    peaks = {way: found[way]["peak"] / 1024 for way in WAYS}
    return (
        f"{Path(name).name:18} {middle['loop']:7.2f} {middle['ours']:7.2f} {times:5.1f}x {middle['bf16']:7.2f} {half_times:5.1f}x"
        f"   {found['loop']['passes']:6} {found['ours']['passes']:5}   {found['loop']['rows']:6} {found['ours']['rows']:6}"
        f"   {peaks['loop']:6.0f} {peaks['ours']:6.0f}   {found['ours']['difference']:.1e} {found['bf16']['difference']:.1e}"
    )


def table(names: list[str]) -> None:
    """A row for each method, as it is measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.pt"
        volume = virtual_slices()
        torch.save(volume, path)
        full = int(volume.roi.flatten(1).any(1).sum())
        print(f"one volume: {len(volume)} slices of {SIDE} x {SIDE} pixels, {full} of them not empty")
        print(f"{torch.get_num_threads()} threads, median of {TURNS} turns, fewer beyond {LONG} s\n")
        print(
            "                        seconds (times the loop)             passes             rows        peak MiB   max |d healthy|"
        )
        print(
            "method                loop    ours             bf16           loop  ours     loop   ours     loop   ours      ours    bf16"
        )
        for name in names:
            print(row(name, path), flush=True)


def main(words: list[str]) -> None:
    """See the top of this file; `measured` is for the processes that it starts."""
    if words[:1] == ["measured"]:
        print(json.dumps(measured(words[1], torch.load(words[2], weights_only=False))))
    else:
        table(words or list(NAMES))


if __name__ == "__main__":
    main(sys.argv[1:])
