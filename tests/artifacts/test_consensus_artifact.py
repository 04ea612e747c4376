import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.planted import planted_ensemble
from pipeline_lib.artifacts.consensus import ConsensusSplit, MethodScores, open_consensus, write_consensus
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.ucls.consensus.ensemble import build_consensus
from pipeline_lib.ucls.consensus.settings import ConsensusSettings


def split(count=6, confidence=True, chosen="mcla"):
    generator = np.random.default_rng(count)
    return ConsensusSplit(
        ids=np.arange(100, 100 + count),
        labels={"mcla": generator.integers(3, size=count), "cspa": generator.integers(3, size=count)},
        chosen=chosen,
        scores={
            "cspa": MethodScores(0.5, 3, "sampled"),
            "hgpa": MethodScores(None, skipped="too large"),
            "mcla": MethodScores(0.75, 2),
        },
        agreement=generator.random(count).astype(np.float32),
        confidence=generator.random(count).astype(np.float32) if confidence else None,
    )


def write(folder, splits, **changes):
    options = {"classes": 3, "settings": {"tool": "t 1", "seed": 4}, "made_by": {"stage": "x"}}
    write_consensus(folder, splits=splits, **(options | changes))
    return open_consensus(folder)


def test_what_is_written_is_read(tmp_path):
    train, val = split(6), split(4, confidence=False, chosen="cspa")
    opened = write(tmp_path / "c", {"train": train, "val": val})
    assert opened.splits == {"train": 6, "val": 4}
    assert (opened.classes, opened.chosen) == (3, {"train": "mcla", "val": "cspa"})
    assert opened.settings == {"tool": "t 1", "seed": 4}
    np.testing.assert_array_equal(opened.ids("train"), train.ids)
    np.testing.assert_array_equal(opened.labels("train"), train.labels["mcla"])
    np.testing.assert_array_equal(opened.labels("val"), val.labels["cspa"])
    np.testing.assert_array_equal(opened.labels("val", "mcla"), val.labels["mcla"])
    np.testing.assert_array_equal(opened.agreement("val"), val.agreement)
    np.testing.assert_array_equal(opened.confidence("train"), train.confidence)
    assert opened.confidence("val") is None
    assert opened.scores("train") == dict(train.scores)
    schema = pq.read_schema(tmp_path / "c" / "train.parquet")
    assert {field.name: str(field.type) for field in schema} == {
        "id": "int64",
        "mcla": "int32",
        "cspa": "int32",
        "consensus": "int32",
        "agreement": "float",
        "confidence": "float",
    }


def test_a_real_consensus_is_written_byte_equal(tmp_path):
    assignments, _ = planted_ensemble(300, 8, 4, seed=1)
    settings = ConsensusSettings(hgpa_pin_limit=1)
    for name in ("a", "b"):
        result = build_consensus(assignments, 4, settings=settings)
        opened = write(
            tmp_path / name,
            {"train": result.for_artifact(np.arange(300))},
            classes=4,
            settings=result.recorded_settings,
        )
    np.testing.assert_array_equal(opened.labels("train"), result.labels)
    assert "hgpa_pin_limit = 1" in opened.scores("train")["hgpa"].skipped
    assert opened.settings["vertex_weight"] == "unit"
    for file in ("meta.json", "train.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert "seconds" not in (tmp_path / "a" / "meta.json").read_text()


def test_unknown_split_and_method_are_named(tmp_path):
    opened = write(tmp_path / "c", {"train": split()})
    with pytest.raises(UserError, match=r"'test'.*train"):
        opened.labels("test")
    with pytest.raises(UserError, match=r"'vote'.*cspa, hgpa, mcla"):
        opened.labels("train", "vote")
    with pytest.raises(UserError, match="too large"):
        opened.labels("train", "hgpa")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"agreement": np.ones(5, dtype=np.float32)}, "agreement"),
        ({"confidence": np.ones(5, dtype=np.float32)}, "confidence"),
        ({"labels": {"mcla": np.zeros(5, dtype=np.int32)}}, "mcla"),
        ({"labels": {"mcla": np.full(6, 3)}}, "mcla"),
        ({"labels": {"cspa": np.zeros(6, dtype=np.int32)}}, "mcla"),
        ({"scores": {"cspa": MethodScores(0.5)}}, "mcla"),
        ({"scores": {"cspa": MethodScores(0.5), "mcla": MethodScores(None)}}, "mcla"),
        ({"scores": {"cspa": MethodScores(0.5), "mcla": MethodScores(0.5), "hgpa": MethodScores(None)}}, "hgpa"),
    ],
)
def test_unfit_contents_are_refused_and_nothing_is_written(tmp_path, changes, word):
    with pytest.raises(UserError, match=word):
        write(tmp_path / "c", {"train": dataclasses.replace(split(), **changes)})
    assert not (tmp_path / "c").exists()


def test_absent_other_and_cut_artifacts_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="consensus"):
        open_consensus(tmp_path / "c")
    write(tmp_path / "c", {"train": split()})
    meta = json.loads((tmp_path / "c" / "meta.json").read_text())
    (tmp_path / "c" / "meta.json").write_text(json.dumps({**meta, "kind": "heads"}))
    with pytest.raises(UserError, match="heads"):
        open_consensus(tmp_path / "c")
    write(tmp_path / "c", {"train": split()})
    (tmp_path / "c" / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"train\.parquet"):
        open_consensus(tmp_path / "c")
