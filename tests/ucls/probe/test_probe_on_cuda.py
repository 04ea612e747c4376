"""The linear grid on CUDA against the CPU."""

import numpy as np
import pytest
import torch
from test_probe_training import groups, settings

from pipeline_lib.ucls.probe.features import feature_input
from pipeline_lib.ucls.probe.training import train_linear_grid

pytestmark = pytest.mark.cuda


def test_scores_and_weights_are_those_of_the_cpu():
    features, labels = groups(noise=1.0)
    inputs = [feature_input(("all",), {"all": (0, features.dimension)})]
    results = [
        train_linear_grid(features, inputs, labels, 4, settings(), device=torch.device(device))
        for device in ("cpu", "cuda")
    ]
    assert results[1].trained[0].classifiers.weight.device.type == "cuda"
    on_cpu, on_cuda = (np.array(result.held_out_loss, dtype=np.float64) for result in results)
    np.testing.assert_allclose(on_cuda, on_cpu, rtol=2e-3)
    for one, other in zip(*(result.classifier().state_dict().values() for result in results), strict=True):
        torch.testing.assert_close(one.cpu(), other.cpu(), rtol=2e-3, atol=2e-4)
