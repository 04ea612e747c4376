import copy

import pytest
import torch
from torch import nn

from pipeline_lib.segins.resnet.build import build_resnet
from pipeline_lib.segins.resnet.groups import _each, maps_of_groups


def first_stages(architecture):
    torch.manual_seed(0)
    network = build_resnet(architecture)
    return nn.Sequential(
        network.conv1, network.bn1, network.relu, network.maxpool, network.layer1, network.layer2
    ).double()


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_groups_of_one_size_are_one_batch(architecture):
    layers = first_stages(architecture)
    images = torch.randn(4, 3, 32, 48).double()
    expected = copy.deepcopy(layers)(images)
    found = maps_of_groups(layers, [images[:2], images[2:]])
    assert [len(part) for part in found] == [2, 2]
    torch.testing.assert_close(torch.cat(found), expected, rtol=0, atol=0)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_unequal_groups_compute_what_equal_ones_do(architecture):
    """Two groups of one size, forced through the walk that unequal ones take."""
    layers = first_stages(architecture)
    other = copy.deepcopy(layers)
    images = torch.randn(4, 3, 32, 48).double()
    expected = layers(images)
    found = torch.cat(_each(other, [images[:1], images[1:]]))
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (found * weight).sum().backward()
    for (name, a), b in zip(layers.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, msg=lambda text, name=name: f"{name}: {text}")
    for (name, a), b in zip(layers.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(b, a, msg=lambda text, name=name: f"{name}: {text}")


def test_statistics_are_those_of_all_positions_of_unequal_groups():
    norm = nn.BatchNorm2d(2, momentum=1.0).double()
    groups = [torch.randn(2, 2, 3, 5).double(), torch.randn(1, 2, 4, 2).double() * 3 + 1]
    found = maps_of_groups(norm, groups)
    every = torch.cat([group.transpose(0, 1).flatten(1) for group in groups], dim=1)  # (C, positions)
    mean, variance = every.mean(dim=1), every.var(dim=1, unbiased=False)
    for group, own in zip(groups, found, strict=True):
        expected = (group - mean.view(1, 2, 1, 1)) / (variance + norm.eps).sqrt().view(1, 2, 1, 1)
        torch.testing.assert_close(own, expected)
    torch.testing.assert_close(norm.running_mean, mean)
