"""SimpleITK, in one thread: the order of its sums over several makes runs differ in the last digits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block filters and metrics of ITK use one thread, those inside other filters too, which ask the global setting."""
    import SimpleITK as sitk

    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def mutual_information() -> Any:
    """A registration by mutual information, which fits other contrasts too; sampling, descent and start are the caller's.

    Make it within `one_thread`: it keeps the number of threads from when it was made.

    Returns:
        A SimpleITK `ImageRegistrationMethod`. Source: Mattes et al., IEEE TMI 2003, as SimpleITK computes it.
    """
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def descend(
    method: Any,
    *,
    learning_rate: float,
    min_step: float,
    iterations: int,
    factors: Sequence[int],
    sigmas: Sequence[float],
) -> None:
    """Let a registration go down in regular steps, from coarse images to fine ones.

    Args:
        method: the registration.
        learning_rate: first step, in mm.
        min_step: last step.
        iterations: steps of a level at most.
        factors: by how much images are shrunk, a level each, coarsest first.
        sigmas: mm of smoothing, a level each.
    """
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=learning_rate,
        minStep=min_step,
        numberOfIterations=iterations,
        relaxationFactor=0.6,
        gradientMagnitudeTolerance=1e-6,
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(list(factors))
    method.SetSmoothingSigmasPerLevel(list(sigmas))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
