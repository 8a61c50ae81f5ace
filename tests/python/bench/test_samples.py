import numpy as np
import pytest

from bench.samples import Summary, batch, correlation, snr_db, summarize


def test_summary_of_odd_and_even_counts():
    assert summarize([3.0, 1.0, 2.0]) == Summary(2.0, 1.0, 3.0, 3)
    assert summarize([4.0, 1.0, 2.0, 3.0]) == Summary(2.5, 1.0, 4.0, 4)
    with pytest.raises(ValueError, match="no samples"):
        summarize([])


@pytest.mark.parametrize(("one", "sample", "count"), [(0.01, 0.06, 6), (1.0, 0.06, 1), (1e-6, 0.06, 60000)])
def test_batches_last_as_long_as_a_sample(one, sample, count):
    assert batch(one, sample) == count


def test_correlation_sees_through_scale_and_offset_but_not_through_order():
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    assert correlation(x, 3 * x + 1) == pytest.approx(1)
    assert correlation(x, -x) == pytest.approx(-1)
    assert abs(correlation(x, x[::-1])) < 0.2
    assert correlation(x, np.ones_like(x)) == 0
    assert correlation(x, np.full_like(x, np.nan)) == 0
    with pytest.raises(ValueError, match="1000 values beside 999"):
        correlation(x, x[1:])


def test_snr():
    x = np.ones(100, np.float32)
    assert snr_db(x * np.float32(1.1), x) == pytest.approx(20, abs=0.01)
    assert snr_db(x, x) == float("inf")
