import numpy as np
import pytest

from pipeline_lib.ucls.heads import schedules


def test_cross_entropy_weight_is_the_cosine_of_the_reference(golden):
    g = golden("05_thesis_temi_ce_tiny")
    values = [schedules.increasing_weight(round(f * 1000), 1000, 0.5) for f in g["schedule_fraction"]]
    np.testing.assert_allclose(values, g["schedule_lambda_reading"], atol=1e-12)


def test_learning_rate_warms_up_linearly_and_ends_at_the_final_rate():
    rates = [schedules.learning_rate(i, 100, 20, 2.0, 0.5) for i in range(101)]
    assert rates[0] == 0
    assert rates[10] == pytest.approx(2.0 * 10 / 19)
    assert rates[19] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(1.25)
    assert rates[100] == pytest.approx(0.5)
    assert np.argmax(rates) in (19, 20)


@pytest.mark.parametrize(("total", "memory"), [(5, 1), (1000, 50), (5000, 250), (100_000, 250)])
def test_teacher_memory_is_a_twentieth_of_the_training_and_at_most_250(total, memory):
    assert 1 / (1 - schedules.fitted_teacher_momentum(total)) == pytest.approx(memory)
