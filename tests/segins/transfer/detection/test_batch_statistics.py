import pytest
import torch
from torch import nn

from pipeline_lib.segins.transfer.detection.batch_statistics import refresh_statistics


def test_statistics_are_those_of_the_population() -> None:
    layer = nn.BatchNorm2d(3)
    batches = [torch.randn(4, 3, 5, 5) * (k + 1) + k for k in range(6)]
    layer.train()
    refresh_statistics(layer, batches, layer)
    every = torch.cat(batches).double().transpose(0, 1).flatten(1)  # (3, all)
    torch.testing.assert_close(layer.running_mean.double(), every.mean(dim=1), rtol=1e-5, atol=1e-5)
    # The batches' variances are unbiased, so they are larger by n / (n - 1).
    torch.testing.assert_close(layer.running_var.double(), every.var(dim=1), rtol=0.02, atol=0)
    assert layer.momentum == 0.1


def test_without_batches_nothing_changes_and_an_error_restores_the_momentum() -> None:
    layer = nn.BatchNorm2d(3)
    refresh_statistics(layer, [], layer)
    assert layer.running_mean.eq(0).all()

    def fails(batch: object) -> None:
        raise RuntimeError(batch)

    with pytest.raises(RuntimeError):
        refresh_statistics(layer, [torch.zeros(1)], fails)
    assert layer.momentum == 0.1
