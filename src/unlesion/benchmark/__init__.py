"""Benchmarks: methods x cohorts x seeds at equal budgets."""

from unlesion.benchmark.grid import Bench
from unlesion.benchmark.known import KnownResults
from unlesion.benchmark.spec import BenchSpec, read_spec

__all__ = ["Bench", "BenchSpec", "KnownResults", "read_spec"]
