"""Memory of preparing: a scan at a time, however many there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Peak memory of this process alone, in MiB, for a cohort of N volumes.
WORK = """
import resource, sys
from pathlib import Path
import nibabel
import numpy as np
from unlesion.prepare import load_recipe, prepare_cohort
from unlesion.scans import Cohort

folder, number = Path(sys.argv[1]), int(sys.argv[2])
grid = np.mgrid[-1:1:96j, -1:1:96j, -1:1:96j]
head = np.sqrt((grid ** 2).sum(0)) < 0.8
del grid
rng = np.random.default_rng(0)
for subject in range(number):
    image = np.where(head, 100 + rng.integers(0, 20, head.shape, dtype=np.int16), 0).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(image, np.diag([2, 2, 2, 1])), folder / f"s{subject:02d}.nii")
cohort = Cohort.open(folder)
recipe = load_recipe("brain-mri", {"align.how": "centre", "slices.step_mm": 2.0, "size": 96})
store, failures = prepare_cohort(cohort, recipe, folder / "store")
assert not failures, failures
assert len(store.scans) == number
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak / (2**20 if sys.platform == "darwin" else 2**10), store.images.nbytes / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs the module resource")
def test_memory_does_not_grow_with_the_cohort(tmp_path: Path) -> None:
    peaks, sizes = [], []
    for number in (8, 32):
        folder = tmp_path / str(number)
        folder.mkdir()
        said = subprocess.run(
            [sys.executable, "-c", WORK, str(folder), str(number)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stderr
        peak, size = map(float, said.stdout.split()[-2:])
        peaks.append(peak)
        sizes.append(size)
    # All volumes together are far more than what the larger cohort may take more.
    assert sizes[1] - sizes[0] > 20
    assert peaks[1] - peaks[0] < 60, f"{peaks} MiB"
