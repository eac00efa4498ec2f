"""Metric: a number with its interval, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number of an evaluation.

    Attributes:
        value: None where it is undefined.
        ci: 95 % interval by bootstrap over subjects, or None.
        why: why `value` is None.
        ci_why: why `ci` is None though `value` is not, where that needs saying.
        extra: anything else that belongs to the number.
    """

    value: float | None
    ci: Interval | None = None
    why: str = ""
    ci_why: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def with_extra(self, **extra: Any) -> Metric:
        """The same number with more that belongs to it."""
        return replace(self, extra={**self.extra, **extra})

    def without_interval(self, why: str) -> Metric:
        """The same number, of which nobody can say how far it may be off."""
        return self if self.value is None else replace(self, ci=None, ci_why=why)

    def to_json(self) -> dict[str, Any]:
        """{"value", "ci"}, with "why" where the value is undefined."""
        out: dict[str, Any] = {"value": self.value, "ci": None if self.ci is None else list(self.ci)}
        if self.value is None:
            out["why"] = self.why
        elif self.ci is None and self.ci_why:
            out["ci_why"] = self.ci_why
        return {**out, **self.extra}


def undefined(why: str, **extra: Any) -> Metric:
    """A metric that has no value, and why."""
    return Metric(value=None, why=why, extra=extra)


def number(value: float) -> Metric:
    """A plain count."""
    return Metric(value=value)
