"""Options that several verbs share, and what becomes of them."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlesion.errors import BadInput

if TYPE_CHECKING:
    from unlesion.scans import Cohort

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="COL=A,B", help="Only rows with these values; OR inside one, AND across repeats."
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        metavar="FOLDER",
        help="What a manifest's paths are relative to, if not its own folder; or where a public dataset lies, if COHORT is the name of one (such as ixi).",
    ),
]
Channels = Annotated[
    str | None,
    typer.Option(
        "--channels", metavar="T1,T2", help="Join rows of a scan with these modalities into channels."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Settings, such as method.beta=2 recipe.size=128."),
]
# For verbs that take a run as it is: whoever asks is told where settings go.
NoSet = Annotated[list[str] | None, typer.Option("--set", hidden=True)]
# A room and a name: what may follow another setting without a `--set` of its own.
_SETTING = re.compile(r"(method|recipe|scoring|training)\.[\w.]+=")

Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Jobs = Annotated[
    int, typer.Option("--jobs", min=0, help="Processes that read and prepare scans; 0: one per core.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say only what went wrong.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write.")]
Volume = Annotated[int | None, typer.Option("--volume", min=0, help="Which volume of 4-D files, from 0.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same result.")]


def separate_settings(arguments: Sequence[str]) -> list[str]:
    """Several settings after one `--set` (`--set method.beta=2 recipe.size=128`), each with a `--set` of its own."""
    out: list[str] = []
    setting = False
    for argument in arguments:
        if setting and _SETTING.match(argument) and out[-1] != "--set":
            out.append("--set")
        setting = argument == "--set" or (setting and bool(_SETTING.match(argument)))
        out.append(argument)
    return out


def refuse_settings(settings: list[str] | None, *, verb: str) -> None:
    """Say where settings of a run are given, to whom gives them to a verb that takes a run as it is."""
    if settings:
        raise BadInput(
            f"--set {settings[0]}: {verb} takes a run as it is, with its thresholds; settings of scoring and of "
            "detection go to `unlesion calibrate`, which makes another run, all others to `unlesion train`"
        )


def split_words(text: str | None) -> tuple[str, ...]:
    """Words between commas: `T1,T2` is ("T1", "T2")."""
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def open_cohort(
    source: Path,
    *,
    root: Path | None = None,
    where: list[str] | None = None,
    channels: str | None = None,
    volume: int | None = None,
) -> Cohort:
    """Open a manifest, a folder (of images, DICOM, BIDS), an image, a prepared store or a public dataset as a cohort."""
    from unlesion.prepare import is_store, store_cohort
    from unlesion.scans import Cohort

    if root is None and is_store(source):
        if channels:
            raise BadInput(
                f"--channels {channels}: {source} is a prepared store; join channels when preparing it"
            )
        if volume is not None:
            raise BadInput(
                f"--volume {volume}: {source} is a prepared store; choose the volume when preparing it"
            )
        return store_cohort(source, where=where or ())
    return Cohort.open(source, root=root, where=where or (), channels=split_words(channels), volume=volume)


def pick_device(wanted: str) -> str:
    """The torch device for `--device`.

    Raises:
        BadInput: CUDA asked for but not there.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise BadInput(f"--device {wanted}: choose auto, cpu or cuda")
    if wanted == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise BadInput("--device cuda: no CUDA device is visible here; use --device cpu")
    return "cpu"


@contextmanager
def workers(jobs: int) -> Iterator[Executor | None]:
    """Processes for work over scans; None where one process is to do it all."""
    count = jobs or os.cpu_count() or 1
    if count == 1:
        yield None
        return
    # Spawned, not forked: a fork of a process with running threads may hang.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C is for the main process, which then lets the workers finish the scan in hand.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    ):
        os.environ[name] = "1"
