"""ContraCAM against the reference values, a naive version in float64, and what the paper says of it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from pipeline_lib.base import torchvision_import  # noqa: F401
from pipeline_lib.segins.masks.contracam import ContraCamStep, contracam, contrastive_score, scaled_to_unit
from pipeline_lib.segins.masks.network import EmbeddingNetwork
from pipeline_lib.segins.resnet.build import build_resnet
from pipeline_lib.segins.resnet.projector import build_projector

from torchvision.models.resnet import BasicBlock, ResNet  # isort: skip

# Width of the first stage, blocks a stage, iterations of the long run.
SIZES = {"tiny": (4, (1, 1, 1, 1), 3), "medium": (8, (2, 2, 2, 2), 10)}
TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-4}


def narrow_resnet(width: int, blocks: tuple[int, ...]) -> nn.Module:
    """The reference's network: torchvision's ResNet with fewer channels."""
    model: Any = ResNet(BasicBlock, list(blocks))
    model.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
    model.bn1 = nn.BatchNorm2d(width)
    model.inplanes = width
    for number, count in enumerate(blocks):
        layer = model._make_layer(BasicBlock, width << number, count, stride=1 if number == 0 else 2)
        setattr(model, f"layer{number + 1}", layer)
    model.fc = nn.Identity()
    return model


def reference_modules(golden_dir: Any, size: str) -> tuple[nn.Module, nn.Module]:
    state = load_file(golden_dir / f"06_contracam_{size}_weights.safetensors")
    width, blocks, _ = SIZES[size]
    backbone = narrow_resnet(width, blocks)
    backbone.load_state_dict({k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")})
    projected = {k.removeprefix("projector."): v for k, v in state.items() if k.startswith("projector.")}
    return backbone, build_projector(projected)


def close(actual: torch.Tensor, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(actual.double().numpy(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("expand", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_one_pass_equals_the_reference_in_every_quantity(golden, golden_dir, size, expand, dtype):
    reference = golden(f"06_contracam_{size}")
    network = EmbeddingNetwork(*reference_modules(golden_dir, size), expand).to(dtype)
    steps: list[ContraCamStep] = []
    images = torch.from_numpy(reference["in_images"]).to(dtype)
    mask = contracam(network, images, positive="batch", observe=steps.append)
    values = {key.split("__")[1]: value for key, value in reference.items() if key.startswith(f"res{expand}_it1__")}
    tolerance = TOLERANCE[dtype]
    (step,) = steps
    close(step.embedding, values["projection"][0], tolerance)
    close(step.score, values["score"][0], tolerance)
    close(step.feature, values["feature"], tolerance)
    close(step.gradient, values["grad"], tolerance)
    close(step.gradient.mean(dim=(2, 3)), values["channel_weight_raw"], tolerance)
    close(step.channel_weight, values["channel_weight"], tolerance)
    close(step.activation, values["cam_lowres"], tolerance)
    close(step.upsampled, values["cam_upsampled"], tolerance)
    close(mask, values["mask"], tolerance)
    np.testing.assert_array_equal(mask[:, 0].numpy() > 0.5, values["binary05"].astype(bool))
    assert mask.dtype == dtype
    # The paper's score gives the same maps as long as nothing is painted over.
    close(contracam(network, images, positive="image"), values["mask"], tolerance)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("expand", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_iterations_equal_the_reference(golden, golden_dir, size, expand, dtype):
    reference = golden(f"06_contracam_{size}")
    iterations = SIZES[size][2]
    case = f"res{expand}_it{iterations}"
    network = EmbeddingNetwork(*reference_modules(golden_dir, size), expand).to(dtype)
    images = torch.from_numpy(reference["in_images"]).to(dtype)
    steps: list[ContraCamStep] = []
    mask = contracam(network, images, iterations=iterations, positive="batch", observe=steps.append)
    tolerance = TOLERANCE[dtype]
    close(mask, reference[f"{case}__mask"], tolerance)
    np.testing.assert_array_equal(mask[:, 0].numpy() > 0.5, reference[f"{case}__binary05"].astype(bool))
    close(torch.stack([step.score for step in steps]), reference[f"{case}__score"], tolerance)
    close(torch.stack([step.embedding for step in steps]), reference[f"{case}__projection"], tolerance)
    close(torch.stack([step.activation for step in steps]), reference[f"{case}__cam_lowres"], tolerance)
    kept = reference[f"{case}__cams_kept_iterations"]
    close(torch.stack([steps[number].normalised for number in kept]), reference[f"{case}__cams"], tolerance)
    paper = contracam(network, images, iterations=iterations, positive="image")
    close(paper, reference[f"notpeer_perimage_{case}__mask"], tolerance)


def test_painted_images_equal_the_reference(golden, golden_dir):
    reference = golden("06_contracam_tiny")
    network = EmbeddingNetwork(*reference_modules(golden_dir, "tiny"), 1).double()
    images = torch.from_numpy(reference["in_images"]).double()
    steps: list[ContraCamStep] = []
    found = contracam(network, images, iterations=3, positive="batch", observe=steps.append)
    colour = images.mean(dim=(0, 2, 3)).view(1, 3, 1, 1)
    # The reference keeps the image after each iteration's painting, this project the one before it.
    close(steps[1].images[:2], reference["res1_it3__masked_image_first"], 1e-5)
    close((images * (1 - found) + colour * found)[:2], reference["res1_it3__masked_image_last"], 1e-5)


def test_maps_depend_on_the_batch_as_in_the_reference(golden, golden_dir):
    reference = golden("06_contracam_tiny")
    network = EmbeddingNetwork(*reference_modules(golden_dir, "tiny"), 1).double()
    pair = contracam(network, torch.from_numpy(reference["in_images"][:2]).double())
    close(pair, reference["first2only_res1_it1__mask"], 1e-5)
    assert np.abs(pair.numpy() - reference["res1_it1__mask"][:2]).max() > 0.3


def test_score_equals_a_naive_version() -> None:
    generator = torch.Generator().manual_seed(3)
    negatives = functional.normalize(torch.randn(3, 4, 5, generator=generator, dtype=torch.float64), dim=2)
    embedding, first = negatives[-1], negatives[0]
    similar = [float(embedding[i] @ first[i]) for i in range(4)]
    for positive in ("image", "batch"):
        expected = []
        for i in range(4):
            others = sum(math.exp(float(embedding[i] @ negatives[t, j])) for t in range(3) for j in range(4) if j != i)
            numerator = math.exp(similar[i]) if positive == "image" else sum(math.exp(value) for value in similar)
            expected.append(math.log(numerator) - math.log(others + 3))
        np.testing.assert_allclose(contrastive_score(embedding, first, negatives, positive), expected, atol=1e-12)


def test_expanding_leaves_the_given_network_as_it_is() -> None:
    backbone, projector = build_resnet("resnet18"), nn.Linear(512, 8)
    backbone.train()
    network = EmbeddingNetwork(backbone, projector, 2)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert network.feature(images).shape == (2, 512, 4, 4)
    assert EmbeddingNetwork(backbone, projector, 1).feature(images).shape == (2, 512, 2, 2)
    assert backbone.training
    assert all(parameter.requires_grad for parameter in (*backbone.parameters(), *projector.parameters()))
    assert backbone.get_submodule("layer4.0.conv1").stride == (2, 2)


def test_expansion_works_for_bottlenecks_too() -> None:
    network = EmbeddingNetwork(build_resnet("resnet50"), None, 2)
    with torch.no_grad():
        feature = network.feature(torch.zeros(1, 3, 64, 64))
    assert feature.shape == (1, 2048, 4, 4)


def test_without_projector_the_pooled_features_are_the_embedding() -> None:
    network = EmbeddingNetwork(build_resnet("resnet18"), None)
    feature = torch.rand(2, 512, 3, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(network.embedding(feature), functional.normalize(feature.mean(dim=(2, 3)), dim=1))


def test_a_flat_map_has_no_foreground() -> None:
    assert not scaled_to_unit(torch.full((2, 1, 4, 4), 3.0)).any()
