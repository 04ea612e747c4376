import json
from pathlib import Path

import pytest

from commands.measures import data_set
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.params.params import load_params
from stages._context import StageContext

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cat", "dog"], {"images_train": 3, "images_val": 2, "classes": 2}),
        (None, {"images_train": 3, "images_val": 2}),
    ],
)
def test_images_of_each_split_and_named_classes_are_counted(tmp_path, names, expected):
    with DatasetWriter(tmp_path / "data/datasets/digits", names, None, {}) as writer:
        for number in range(5):
            writer.add(number, "train" if number < 3 else "val", image=b"x")
    context = StageContext("data_set", load_params(ROOT / "params.yaml"), "digits", "", root=tmp_path)
    data_set.run(context)
    assert json.loads((tmp_path / "metrics/digits/data_set.json").read_text()) == expected
