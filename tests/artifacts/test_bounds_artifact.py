import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline_lib.artifacts.bounds import open_bounds, write_bounds
from pipeline_lib.base.errors import MissingFileError, UserError

IDS = np.array([5, 2**40, 7, 9], dtype=np.int64)
LABELS = {
    "kmeans": np.array([0, 1, 2, 1], dtype=np.int32),
    "turtle": np.array([2, 2, 0, 1], dtype=np.int32),
}


def write(folder, **changes):
    options = {"split": "val", "ids": IDS, "labels": LABELS, "classes": 3, "made_by": {"stage": "bounds"}}
    options["turtle_scores"] = {"none, cold start": 0.91239}
    write_bounds(folder, **(options | changes))
    return open_bounds(folder)


def test_what_is_written_is_read(tmp_path):
    opened = write(tmp_path / "b")
    assert (opened.classes, opened.split, opened.methods, opened.images) == (3, "val", ("kmeans", "turtle"), 4)
    assert opened.turtle_scores == {"none, cold start": 0.9124}
    np.testing.assert_array_equal(opened.ids(), IDS)
    for method, labels in LABELS.items():
        np.testing.assert_array_equal(opened.labels(method), labels)
    schema = pq.read_schema(tmp_path / "b" / "val.parquet")
    assert {field.name: str(field.type) for field in schema} == {"id": "int64", "kmeans": "int32", "turtle": "int32"}


def test_equal_contents_make_equal_bytes(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    for file in ("meta.json", "val.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_method_that_did_not_run_is_named(tmp_path):
    opened = write(tmp_path / "b", labels={"kmeans": LABELS["kmeans"]})
    with pytest.raises(UserError, match=r"'turtle'.*kmeans"):
        opened.labels("turtle")


@pytest.mark.parametrize("values", [np.zeros(3, np.int32), np.full(4, 3, np.int32), np.full(4, -1, np.int32)])
def test_unfit_clusters_are_refused_and_nothing_is_written(tmp_path, values):
    with pytest.raises(UserError, match="kmeans"):
        write(tmp_path / "b", labels={"kmeans": values})
    assert not (tmp_path / "b").exists()


def test_absent_other_and_cut_artifacts_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="bounds"):
        open_bounds(tmp_path / "b")
    write(tmp_path / "b")
    meta = json.loads((tmp_path / "b" / "meta.json").read_text())
    (tmp_path / "b" / "meta.json").write_text(json.dumps({**meta, "kind": "heads"}))
    with pytest.raises(UserError, match="heads"):
        open_bounds(tmp_path / "b")
    write(tmp_path / "b")
    (tmp_path / "b" / "val.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"val\.parquet"):
        open_bounds(tmp_path / "b")
