import importlib.util
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from pipeline_lib.backbones import onnx_export
from pipeline_lib.backbones.build import example_images
from pipeline_lib.backbones.preprocessing import Preprocessing
from pipeline_lib.base.errors import UserError
from pipeline_lib.images.decoding import decode
from pipeline_lib.ucls.prediction import export
from pipeline_lib.ucls.prediction.model import feature_classifier, load_model

NAMES = {0: "red", 2: "blue"}


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def check_equal(path, name, module, inputs):
    with torch.inference_mode():
        probability, cluster = module(inputs)
    found, clusters = session(path).run(["probability", "cluster"], {name: inputs.numpy()})
    assert found.dtype == np.float32
    assert np.abs(found - probability.numpy()).max() < 1e-5
    assert clusters.dtype == np.int64
    assert np.array_equal(clusters, cluster.numpy())


@pytest.mark.parametrize(
    "backbone", ["pixels", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cnn", "vit"))]
)
def test_onnxruntime_gives_the_results_of_torch_for_batches_of_any_size(trained_of, tmp_path, backbone):
    model = load_model(trained_of(backbone).artifact)
    difference = export.export_onnx(export.with_backbone(model, None), tmp_path / "new" / "m.onnx", 18)
    assert difference < 1e-5
    for count in (1, 2, 9):
        check_equal(
            tmp_path / "new" / "m.onnx", "images", model.module, example_images(model.backbone, count, seed=count)
        )
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["m.json", "m.onnx"]


def test_the_classifier_alone_takes_features(pixels, tmp_path):
    path = tmp_path / "head.onnx"
    export.export_onnx(export.without_backbone(pixels.artifact, None), path, 20)
    for count in (1, 6):
        check_equal(path, "features", feature_classifier(pixels.artifact), torch.rand(count, 64))
    assert onnx.load(path).opset_import[0].version == 20


@pytest.mark.slow
def test_the_files_tell_all_that_their_use_needs(pixels, tmp_path):
    """The val images go through onnxruntime with nothing but the two files at hand."""
    model = load_model(pixels.artifact)
    export.export_onnx(export.with_backbone(model, NAMES), tmp_path / "m.onnx", 18)
    described = json.loads((tmp_path / "m.json").read_text())
    opened = session(tmp_path / "m.onnx")
    metadata = {key: json.loads(value) for key, value in opened.get_modelmeta().custom_metadata_map.items()}
    assert described == metadata | {"opset": 18}
    assert described["classes"] == 3
    assert described["cluster_names"] == {"0": "red", "2": "blue"}
    assert described["blocks"] == [{"name": "pixels", "columns": 64}]
    assert described["input"] == {"name": "images", "dtype": "float32", "shape": ["batch", 3, 8, 8]}
    transform = Preprocessing.from_fields(described["preprocessing"]).transform("")
    images = torch.stack([transform(decode(path)) for path in sorted(pixels.photos.iterdir())])
    probability, cluster = opened.run(None, {described["input"]["name"]: images.numpy()})
    expected = pixels.artifact.predictions("val")
    assert cluster.tolist() == expected.clusters.tolist()
    np.testing.assert_allclose(probability.max(axis=1), expected.probability, atol=1e-5)


@pytest.mark.slow
def test_the_file_is_the_same_again_and_tells_nothing_of_this_machine(pixels, tmp_path, repository):
    for name in ("one", "two"):
        export.export_onnx(export.without_backbone(pixels.artifact, NAMES), tmp_path / name / "m.onnx", 18)
    content = (tmp_path / "one" / "m.onnx").read_bytes()
    assert content == (tmp_path / "two" / "m.onnx").read_bytes()
    assert str(repository).encode() not in content
    assert b".py" not in content


@pytest.mark.parametrize("opset", [17, 26])
def test_an_opset_outside_of_the_exporters_range_is_refused(pixels, tmp_path, opset):
    with pytest.raises(UserError, match=rf"^--opset {opset}: allowed are 18 to 25$"):
        export.export_onnx(export.without_backbone(pixels.artifact, None), tmp_path / "m.onnx", opset)
    assert list(tmp_path.iterdir()) == []


class Untranslatable(torch.nn.Module):
    def forward(self, features):
        values = torch.special.airy_ai(features)  # ONNX has no such function
        return values.softmax(-1), values.argmax(-1)


def test_a_model_that_cannot_be_exported_leaves_the_old_file(tmp_path):
    (tmp_path / "m.onnx").write_text("old")
    exportable = export.Exportable(Untranslatable(), "features", torch.rand(5, 3), {})
    with pytest.raises(UserError, match=r"this model cannot be exported to ONNX .*; try --without-backbone") as caught:
        export.export_onnx(exportable, tmp_path / "m.onnx", 18)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "m.onnx").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.slow
def test_a_file_whose_results_differ_is_not_written(pixels, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(UserError, match=r"m\.onnx: probabilities of onnxruntime differ from torch's by"):
        export.export_onnx(export.without_backbone(pixels.artifact, None), tmp_path / "m.onnx", 18)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_weights_of_large_models_lie_in_a_file_beside(pixels, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "_LARGEST_SINGLE_FILE", 100)
    path = tmp_path / "m.onnx"
    export.export_onnx(export.without_backbone(pixels.artifact, None), path, 18)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.json", "m.onnx", "m.onnx.data"]
    check_equal(path, "features", feature_classifier(pixels.artifact), torch.rand(4, 64))


def test_absent_packages_are_named_with_the_command_that_installs_them(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(UserError, match=r"^export needs onnxscript: pip install onnx onnxscript onnxruntime$"):
        export.check_packages()
