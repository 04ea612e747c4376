import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.probe.features import FeatureInput, dinov2_inputs
from pipeline_lib.ucls.probe.grid import classifier_settings, cosine_factor, scaled_rate
from pipeline_lib.ucls.probe.settings import DINOV2_RATES, GridSettings

COLUMNS = {"cls": (0, 4), "patch_mean": (4, 8), "cls_-2": (8, 12), "cls_-3": (12, 16), "cls_-4": (16, 20)}


@pytest.mark.parametrize("batch_size", [128, 1024])
def test_rates_and_schedule_are_the_peers(golden, batch_size):
    arrays = golden("10_dinov2_linear")
    assert list(DINOV2_RATES) == arrays["in_learning_rates"].tolist()
    scaled = np.array([scaled_rate(rate, batch_size) for rate in DINOV2_RATES])
    np.testing.assert_allclose(scaled, arrays[f"b{batch_size}__lr_scaled"], rtol=1e-12)
    factors = [cosine_factor(int(i), 12_500) for i in arrays[f"b{batch_size}__schedule_iterations"]]
    np.testing.assert_allclose(
        np.outer(factors, scaled), arrays[f"b{batch_size}__schedule_lr"], rtol=0, atol=1e-13 * scaled.max()
    )


def test_all_52_classifiers_have_names_of_their_own(golden_dir):
    peer = json.loads((golden_dir / "10_dinov2_linear.json").read_text())["batch_128"]
    assert len(peer["names_that_exist_after_dict_overwrite"]) == 48
    settings = classifier_settings(dinov2_inputs(COLUMNS), DINOV2_RATES, 128)
    assert len(settings) == len(peer["names_in_loop_order_52"]) == len({one.name for one in settings})
    # The peer's names tell blocks, average pooling and rate to 5 decimals: the order of the loops is the same.
    for own, name in zip(settings, peer["names_in_loop_order_52"], strict=True):
        blocks = 4 if "cls_-4" in own.input.blocks else 1
        assert name.startswith(f"classifier_{blocks}_blocks_avgpool_{'patch_mean' in own.input.blocks}_lr_")
        assert name.rsplit("_lr_", 1)[1].replace("_", ".") == f"{own.scaled_rate:.5f}"


def test_schedule_ends():
    assert cosine_factor(0, 10) == 1
    assert cosine_factor(5, 10) == pytest.approx(0.5)
    assert cosine_factor(10, 10) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"iterations": 0},
        {"holdout_fraction": 0.0},
        {"holdout_fraction": 1.0},
        {"rates": (0.1, 0.0)},
        {"rates": (math.nan,)},
        {"rates": (math.inf,)},
        {"scaling": "unit"},
    ],
)
def test_impossible_settings_are_refused_by_name(arguments):
    with pytest.raises(ValidationError, match=next(iter(arguments))):
        GridSettings(**arguments)


def test_repeated_or_absent_rates_and_inputs_are_refused():
    one = FeatureInput(("cls",), ((0, 4),))
    for inputs, rates in (([one], (0.1, 0.1)), ([one], ()), ([one, one], (0.1,)), ([], (0.1,))):
        with pytest.raises(UserError, match="none twice"):
            classifier_settings(inputs, rates, 128)
