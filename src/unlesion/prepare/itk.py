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


def mutual_information(
    *, learning_rate: float, min_step: float, iterations: int, factors: Sequence[int], sigmas: Sequence[float]
) -> Any:
    """A registration by mutual information, which fits other contrasts too; sampling and start are the caller's.

    Make it within `one_thread`: it keeps the number of threads from when it was made.

    Args:
        learning_rate: first step, in mm.
        min_step: last step.
        iterations: steps of a level at most.
        factors: by how much images are shrunk, a level each, coarsest first.
        sigmas: mm of smoothing, a level each.

    Returns:
        A SimpleITK `ImageRegistrationMethod`. Source: Mattes et al., IEEE TMI 2003, as SimpleITK computes it.
    """
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=32)
    method.SetInterpolator(sitk.sitkLinear)
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
    return method
