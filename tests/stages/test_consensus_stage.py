"""The stage consensus: which method counts on which split."""

import json

import numpy as np
import pytest

from benchmarks.planted import planted_ensemble
from pipeline_lib.artifacts.assignments import write_assignments
from pipeline_lib.artifacts.consensus import open_consensus
from pipeline_lib.params.params import load_params
from stages import consensus
from stages._context import StageContext

COUNTS = {"train": 400, "val": 200}
HEADS, CLASSES = 8, 4


@pytest.fixture
def chosen(tmp_path, repository):
    """Run the stage on confused heads, where HGPA is worse than CSPA; the chosen methods and the opened artifact."""
    splits = {}
    for split, count in COUNTS.items():
        labels, _ = planted_ensemble(count, HEADS, CLASSES, confused=0.3, seed=count)
        probability = np.full((count, CLASSES), 1 / CLASSES, np.float32)
        splits[split] = (count, [(np.arange(count), labels.astype(np.int32), probability)])
    write_assignments(
        tmp_path / "data/assignments/digits-pixels",
        splits=splits,
        heads=HEADS,
        classes=CLASSES,
        best_head=0,
        probabilities="best",
        made_by={},
    )

    def run(**changes):
        settings = {f"consensus.{key}": value for key, value in changes.items()}
        params = load_params(repository / "params.yaml", {"consensus.methods": ["cspa", "hgpa"]} | settings)
        consensus.run(StageContext("consensus", params, "digits", "pixels", root=tmp_path))
        metrics = json.loads((tmp_path / "metrics/digits-pixels/consensus.json").read_text())
        return open_consensus(tmp_path / "data/consensus/digits-pixels"), metrics

    return run


def test_the_method_of_train_counts_on_val(chosen):
    opened, metrics = chosen(cspa_image_limit=300)
    assert opened.chosen == {"train": "hgpa", "val": "hgpa"}
    assert metrics["chosen"] == "hgpa"
    assert "val_chosen" not in metrics
    assert metrics["train_cspa_skipped"] == "400 images, above cspa_image_limit = 300"
    # CSPA ran on the smaller split, was better there and does not count.
    assert metrics["val_cspa_anmi"] > metrics["val_hgpa_anmi"]
    np.testing.assert_array_equal(opened.labels("val"), opened.labels("val", "hgpa"))


def test_each_split_can_choose_for_itself(chosen):
    opened, metrics = chosen(cspa_image_limit=300, choose_on="each")
    assert opened.chosen == {"train": "hgpa", "val": "cspa"}
    assert (metrics["chosen"], metrics["val_chosen"]) == ("hgpa", "cspa")
    np.testing.assert_array_equal(opened.labels("val"), opened.labels("val", "cspa"))
    np.testing.assert_array_equal(opened.labels("train"), opened.labels("train", "hgpa"))


def test_a_method_that_is_named_counts_everywhere(chosen):
    assert chosen(choose="hgpa", choose_on="each")[0].chosen == {"train": "hgpa", "val": "hgpa"}
