from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unlesion.calibration.codes import (
    N_CODES,
    ZERO_CODE,
    Counts,
    encode,
    is_coarse,
    threshold_below,
    value_of,
)

floats = st.floats(width=32, allow_nan=False)


@given(floats, floats)
def test_order_is_kept(one: float, two: float) -> None:
    low, high = encode(np.asarray([min(one, two), max(one, two)], np.float32)).astype(int)
    assert low <= high


@given(st.floats(min_value=2.0**-23, max_value=2.0**23, width=32), st.booleans())
def test_precision(value: float, negative: bool) -> None:
    signed = -value if negative else value
    back = float(value_of(encode(np.asarray([signed], np.float32)))[0])
    assert abs(back - signed) <= (2**-8 if negative else 2**-10) * value


@given(arrays(np.float32, 30, elements=floats), st.integers(1, N_CODES))
def test_thresholds_cut_between_codes(scores: np.ndarray, code: int) -> None:
    scores = scores[np.isfinite(scores)]
    np.testing.assert_array_equal(scores > threshold_below(code), encode(scores) >= code)


def test_every_code_is_some_scores_code() -> None:
    codes = np.arange(N_CODES)
    np.testing.assert_array_equal(encode(value_of(codes)), codes)
    assert N_CODES <= 2**16


def test_special_values() -> None:
    found = encode(np.asarray([-np.inf, -0.0, 0.0, 1e-30, np.inf, 1e30])).astype(int)
    np.testing.assert_array_equal(found, [0, ZERO_CODE, ZERO_CODE, ZERO_CODE, N_CODES - 1, N_CODES - 1])
    with pytest.raises(ValueError, match="NaN"):
        encode(np.asarray([0.0, np.nan]))


def test_counts_add_up() -> None:
    generator = np.random.default_rng(0)
    first, second = (encode(generator.random(1000)) for _ in range(2))
    together = Counts.sum([Counts.of(first), Counts.of(second)])
    whole = Counts.of(np.concatenate([first, second]))
    np.testing.assert_array_equal(together.codes, whole.codes)
    np.testing.assert_array_equal(together.numbers, whole.numbers)
    assert together.total == 2000


def test_scores_that_codes_cannot_tell_apart_are_noticed() -> None:
    spread = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    assert not is_coarse(spread) and not is_coarse(np.abs(spread) * 1e-3) and not is_coarse(spread + 10)
    assert is_coarse(spread * 0.1 + 1000) and is_coarse(spread * 1e-9)
    # Few values are few, however they are kept.
    assert not is_coarse(np.repeat([0.0, 1.0], 5000))
