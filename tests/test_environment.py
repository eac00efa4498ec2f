"""What the installation and the source must never contain."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cohorts import write_pictures
from unlesion.prepare import load_recipe, prepare_cohort
from unlesion.scans import Cohort

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))

# What takes seconds to import and has no business in `unlesion --help`.
HEAVY = ("torch", "lightning", "monai", "SimpleITK", "matplotlib", "pandas", "sklearn", "skimage", "nilearn")


def _pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line.strip() and not line.startswith("#")]
    return {_canonical(name): version for name, version in pairs}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_torchvision_is_not_installed() -> None:
    # Installed beside a CPU build of torch it breaks lightning and torchmetrics on import.
    assert importlib.util.find_spec("torchvision") is None


def test_torchvision_is_not_pinned() -> None:
    assert "torchvision" not in _pinned()


def test_constraints_are_exact_and_name_no_build_of_torch() -> None:
    pinned = _pinned()
    assert pinned["torch"] == "2.13.0"
    assert not [name for name, version in pinned.items() if "+" in version]


def test_every_requirement_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    wanted += project["optional-dependencies"]["docs"]
    names = {_canonical(re.split(r"[<>=!~ \[;]", requirement, maxsplit=1)[0]) for requirement in wanted}
    assert names <= set(_pinned())


def test_nothing_installed_needs_torchvision() -> None:
    needing = [
        f"{package.metadata['Name']}: {requirement}"
        for package in importlib.metadata.distributions()
        for requirement in package.requires or ()
        if _canonical(re.split(r"[<>=!~ \[;(]", requirement, maxsplit=1)[0]) == "torchvision"
        and "extra" not in requirement
    ]
    assert not needing


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        "from unlesion.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('loaded:', heavy, file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip()
    assert "loaded: []" in ran.stderr


@pytest.mark.parametrize("forbidden", [r"\btorch\.load\b", r"\bpickle\b", r"\ballow_pickle\s*=\s*True\b"])
def test_source_reads_and_writes_no_pickles(forbidden: str) -> None:
    # Comments and docstrings may speak of pickles; statements may not use them.
    using = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(forbidden, line)
        and (forbidden != r"\bpickle\b" or re.match(r"\s*(import|from)\b", line))
    ]
    assert not using


def test_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("unlesion")
    ran = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    for verb in ("demo", "train", "detect", "evaluate"):
        assert verb in ran.stdout
    assert "not a medical device" in " ".join(ran.stdout.split())


def test_a_machine_without_readers_of_images_trains_and_detects_on_a_store(tmp_path: Path) -> None:
    """What reads files of scanners is imported where it is needed, so that a store is enough on a cluster."""
    manifest = write_pictures(tmp_path / "pictures")
    store = tmp_path / "store"
    prepare_cohort(Cohort.open(manifest).with_splits(), load_recipe("slices", preset_size=32), store)
    program = f"""
import sys
for name in ("SimpleITK", "highdicom", "nibabel", "pydicom", "gdcm", "ancpbids", "nilearn", "dcm2niix"):
    sys.modules[name] = None
from unlesion.cli.app import run
words = "--jobs 1 --quiet".split()
assert run(["train", {str(store)!r}, "--method", "dae", "--preset", "tiny", "--steps", "3", "--out", {str(tmp_path / "run")!r}, *words]) == 0
assert run(["detect", {str(tmp_path / "run")!r}, {str(store)!r}, "--out", {str(tmp_path / "found")!r}, *words]) == 0
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert list((tmp_path / "found").rglob("anomaly.npy"))
