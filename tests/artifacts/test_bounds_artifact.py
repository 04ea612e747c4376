import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline_lib.artifacts.bounds import write_bounds
from pipeline_lib.artifacts.folder import read_meta
from pipeline_lib.base.errors import UserError

IDS = np.array([5, 2**40, 7, 9], dtype=np.int64)
LABELS = {
    "kmeans": np.array([0, 1, 2, 1], dtype=np.int32),
    "turtle": np.array([2, 2, 0, 1], dtype=np.int32),
}


def write(folder, **changes):
    options = {"split": "val", "ids": IDS, "labels": LABELS, "classes": 3, "made_by": {"stage": "bounds"}}
    options["turtle_scores"] = {"none, cold start": 0.91239}
    write_bounds(folder, **(options | changes))


def test_meta_and_table_hold_what_is_written(tmp_path):
    write(tmp_path / "b")
    meta = read_meta(tmp_path / "b", "bounds", 1)
    facts = {"classes": 3, "split": "val", "methods": ["kmeans", "turtle"], "images": 4}
    assert {key: meta[key] for key in facts} == facts
    assert meta["turtle_scores"] == {"none, cold start": 0.9124}
    table = pq.read_table(tmp_path / "b" / "val.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "int64",
        "kmeans": "int32",
        "turtle": "int32",
    }
    for name, values in {"id": IDS, **LABELS}.items():
        np.testing.assert_array_equal(table.column(name), values)


def test_equal_contents_make_equal_bytes(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b")
    for file in ("meta.json", "val.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("values", [np.zeros(3, np.int32), np.full(4, 3, np.int32), np.full(4, -1, np.int32)])
def test_unfit_clusters_are_refused_and_nothing_is_written(tmp_path, values):
    with pytest.raises(UserError, match="kmeans"):
        write(tmp_path / "b", labels={"kmeans": values})
    assert not (tmp_path / "b").exists()
