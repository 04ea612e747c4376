import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from pipeline_lib.artifacts.classifier import open_classifier
from pipeline_lib.artifacts.features import open_features
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.decoding import decode
from pipeline_lib.ucls.prediction.model import feature_classifier, load_model


def preprocessed(trained, model):
    transform = model.backbone.transform()
    return torch.stack([transform(decode(path)) for path in sorted(trained.photos.iterdir())])


def changed_facts(trained, target, without=None, **changes):
    """A copy of the artifact with other facts of its backbone, or without one of them."""
    shutil.copytree(trained.folder, target)
    meta = json.loads((target / "meta.json").read_text())
    meta["backbone"] |= changes
    meta["backbone"].pop(without, None)
    (target / "meta.json").write_text(json.dumps(meta))
    return open_classifier(target)


def test_features_of_new_images_are_those_of_the_extract_stage(trained):
    model = load_model(trained.artifact)
    stored = open_features(trained.root / "data" / "features" / trained.run)
    with torch.inference_mode():
        features = model.module.extractor(preprocessed(trained, model)).numpy()
    expected = stored.split("val", tuple(stored.blocks)).rows(slice(None))
    assert np.ptp(expected, axis=0).max() > 1e-3, "features that do not vary prove nothing"
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-5)


def test_rounding_to_the_stored_type_gives_the_stored_features(with_rounded_features):
    trained = with_rounded_features
    model = load_model(trained.artifact)
    stored = np.load(trained.root / "data" / "features" / trained.run / "val.npy")
    features = model.module.extractor(preprocessed(trained, model)).numpy()
    assert stored.dtype == np.float16
    assert np.array_equal(features.astype(np.float16), stored)
    assert not np.array_equal(features, stored)


def test_one_module_goes_from_images_to_the_predictions_of_the_artifact(trained):
    model = load_model(trained.artifact)
    with torch.inference_mode():
        probability, cluster = model.module(preprocessed(trained, model))
    predictions = trained.artifact.predictions("val")
    assert cluster.tolist() == predictions.clusters.tolist()
    assert len(set(cluster.tolist())) > 1
    np.testing.assert_allclose(probability.max(dim=1).values.numpy(), predictions.probability, atol=1e-5)
    torch.testing.assert_close(probability.sum(dim=1), torch.ones(len(cluster)))


def test_the_classifier_takes_its_blocks_out_of_all_that_the_backbone_gives(trained_of):
    trained = trained_of("vit")
    model = load_model(trained.artifact)
    columns = model.backbone.extractor.blocks
    features = torch.randn(4, model.backbone.extractor.dimension, generator=torch.Generator().manual_seed(0))
    taken = torch.cat([features[:, slice(*columns[name])] for name, _ in trained.artifact.blocks], dim=1)
    expected, _ = feature_classifier(trained.artifact)(taken)
    assert torch.equal(model.module.classify(features)[0], expected)


@pytest.mark.parametrize("fact", ["precision", "preprocessing", "last_blocks"])
def test_an_artifact_of_an_older_version_is_refused_with_what_it_lacks(pixels, tmp_path, fact):
    artifact = changed_facts(pixels, tmp_path / "old", without=fact)
    with pytest.raises(UserError, match=rf"old: does not record {fact} of its backbone.*from stage extract on"):
        load_model(artifact)


def test_an_unknown_precision_is_refused(pixels, tmp_path):
    with pytest.raises(UserError, match=r"precision of the backbone is 'int8'; allowed: float32, bfloat16"):
        load_model(changed_facts(pixels, tmp_path / "c", precision="int8"))


def test_a_backbone_with_blocks_of_other_widths_is_refused(pixels, tmp_path):
    preprocessing = pixels.artifact.backbone["preprocessing"] | {"width": 9}
    with pytest.raises(UserError, match=r"trained on blocks \[\('pixels', 64\)\]; the backbone gives .*72"):
        load_model(changed_facts(pixels, tmp_path / "c", preprocessing=preprocessing))


def test_weights_may_have_moved_but_have_to_be_the_same(trained_of, tmp_path):
    trained = trained_of("cnn")
    weights = trained.artifact.backbone["weights"]
    artifact = changed_facts(trained, tmp_path / "c", weights=weights | {"path": str(tmp_path / "gone.pth")})
    with pytest.raises(MissingFileError, match=r"gone\.pth: no such file; or name the file with --weights") as caught:
        load_model(artifact)
    assert "\n" not in str(caught.value)
    moved = Path(shutil.copy(trained.weights, tmp_path / "moved.pth"))
    assert load_model(artifact, moved).backbone.digest == weights["blake2b"]
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match="expected weights with blake2b"):
        load_model(artifact, tmp_path / "other.pth")
