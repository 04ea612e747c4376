"""Rows of a set are made seed by seed; what cannot be run is left out with the reason."""

import json
from pathlib import Path

import pytest

from pipeline_lib.base.errors import MissingFileError, UserError

STARTS = {
    "sets": {
        "set": {
            "title": "T",
            "rows": [
                {"start": "moco-baseline", "name": "base"},
                {"start": "moco-segins", "name": "one", "against": "base"},
                {"start": "moco-segins", "name": "five", "presets": ["five"], "against": "base"},
            ],
            "tables": [{"title": "T", "measures": ["top1", "ap", "id_loss", "pseudo_mask_iou"]}],
        }
    }
}
THRESHOLDS = {
    "groups": {
        "best_head": {"title": "Best head", "measures": {"acc": "ucls.best_head_acc"}},
        "neighbors": {
            "title": "Neighbours",
            "measures": {"nn_acc": "similarity.oracle_accuracy_above_{knn.threshold}"},
        },
        "other": {"title": "Other", "measures": {"acc": ["nowhere.acc"]}},
    },
    "sets": {
        "set": {
            "title": "T",
            "rows": [
                {"name": "low", "settings": {"knn.threshold": 0.25}},
                {"name": "blocks", "settings": {"features.blocks": "default"}, "needs": "feature_blocks"},
                {"name": "high", "settings": {"knn.threshold": 0.5, "features.blocks": "first"}},
            ],
            "tables": [{"title": "T", "groups": ["best_head", "neighbors"]}],
        }
    },
}


def run(execution):
    grown = []
    execution.run(lambda results: grown.append(sum(len(row.runs) for row in results.rows)))
    return grown


def rows(execution):
    return [row for part in execution.results for found in part.runs for row in found.rows]


def values(row, seed, *keys):
    return [row.runs[seed].get(key) for key in keys]


@pytest.mark.slow
def test_all_rows_and_seeds_are_run_and_reported_after_each(toy, capsys):
    execution = toy.execution(STARTS, seeds=2)
    assert run(execution) == [1, 2, 3, 4, 5, 6]
    base, one, five = rows(execution)
    keys = ("linear_eval.top1", "detection.ap", "pretrain_baseline.id_loss", "pretrain_segins.id_loss")
    assert values(base, 0, *keys) == [0.1, 0.5, 1.0, None]
    assert values(base, 1, *keys) == [pytest.approx(0.11), 0.5, 1.0, None]
    assert values(one, 0, *keys) == [0.2, 0.5, 1.0, 2.0]
    # The preset's weight, on the data set of the set.
    assert values(five, 1, *keys) == [0.5, 0.5, 1.0, 2.0]
    assert five.runs[0]["masks.pseudo.iou_with_masks"] == 0.5
    assert base.collapsed == [1]
    assert execution.remarks == []
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("set scenes 1/6: base, seed 0: top-1 10.0, AP 50.0 [")
    assert toy.calls().count("scenes") == 1
    again = toy.execution(STARTS, seeds=2)
    assert run(again) == []
    assert [row.runs for row in rows(again)] == [row.runs for row in rows(execution)]
    assert capsys.readouterr().out.count("there already") == 6


def test_a_refused_row_is_left_out_and_the_others_go_on(toy, capsys):
    toy.tell(refused={"pretrain_segins-moco": "segins.lambda: no"})
    execution = toy.execution(STARTS, seeds=2)
    run(execution)
    assert [row.reason for row in rows(execution)] == ["", "segins.lambda: no", "segins.lambda: no"]
    assert len(rows(execution)[0].runs) == 2
    assert execution.refused == {"one": "segins.lambda: no", "five": "segins.lambda: no"}
    assert "set scenes 2/6: one, seed 0: segins.lambda: no" in capsys.readouterr().out
    toy.tell(refused={"pretrain_baseline-moco": "no images"})
    with pytest.raises(UserError, match="no images"):
        run(toy.execution(STARTS, single={"pretrain.epochs": 3}))


def test_a_start_whose_file_is_not_there_has_an_explained_row_and_is_no_failure(toy):
    table = {"title": "T", "measures": ["top1"]}
    body = {"title": "T", "rows": [{"start": "supervised"}, {"start": "random"}], "tables": [table]}
    sets = {"sets": {"set": body}}
    execution = toy.execution(sets)
    run(execution)
    missing, random = rows(execution)
    assert missing.reason == "checkpoints.supervised.path = weights/resnet50.pth: not found"
    assert random.runs[0]["linear_eval.top1"] == 0.05
    assert execution.refused == {}
    (toy.folder / "weights").mkdir()
    (toy.folder / "weights/resnet50.pth").touch()
    execution = toy.execution(sets)
    run(execution)
    assert [row.reason for row in rows(execution)] == ["", ""]


def test_a_set_with_pictures_of_artifacts_knows_where_those_of_the_first_seed_lie(toy):
    body = STARTS["sets"]["set"]
    plain = toy.execution(STARTS, rows=("base",))
    run(plain)
    assert rows(plain)[0].places == {}
    execution = toy.execution({"sets": {"set": body | {"pictures": ["masks"]}}}, rows=("base", "one"))
    run(execution)
    place = rows(execution)[1].places[Path("data/masks/scenes/moco")]
    assert json.loads((place / "meta.json").read_text()) == {"source": "contracam"}
    assert place.is_relative_to(toy.scratch)


def test_a_trial_beside_a_long_pretraining_is_told(toy):
    long = {"pretrain.epochs": 500, "pretrain.global_size": 224, "masks.image_size": 224}
    execution = toy.execution(STARTS, presets=long)
    assert [remark.partition(" = ")[0] for remark in execution.remarks] == [
        "Beware: linear_eval.image_size",
        "Beware: detection.iterations",
    ]


def test_rows_and_evaluations_can_be_chosen(toy):
    execution = toy.execution(STARTS, rows=("five",), only=("linear_eval",))
    run(execution)
    assert [row.row.name for row in rows(execution)] == ["five"]
    assert not [call for call in toy.calls() if call.startswith("detection")]


@pytest.mark.slow
def test_seeds_share_what_draws_nothing_and_rows_without_blocks_are_left_out(toy, capsys):
    execution = toy.execution(THRESHOLDS, seeds=2)
    run(execution)
    low, blocks, high = rows(execution)
    assert [low.runs[seed]["ucls.best_head_acc"] for seed in (0, 1)] == [0.25, 0.26]
    assert high.runs[1]["similarity.oracle_accuracy_above_0.5"] == 0.5
    assert blocks.reason == "does not apply: pixels gives one block of features"
    assert execution.refused == {}
    calls = toy.calls()
    # One search a threshold.
    assert (calls.count("knn"), calls.count("train_heads")) == (2, 4)
    assert "set digits-pixels 2/6: blocks, seed 0: does not apply: pixels gives" in capsys.readouterr().out


def test_several_blocks_are_chosen_from(toy):
    toy.give("features/digits-pixels", {"default_blocks": ["cls", "patch_mean"]})
    execution = toy.execution(THRESHOLDS)
    assert [row.reason for row in rows(execution)] == ["", "", ""]
    assert rows(execution)[2].settings["features.blocks"] == "first"


def test_sizes_of_data_sets_need_neither_features_nor_labels_and_absent_ones_are_gaps(toy):
    toy.give("datasets/cifar10/unlabelled", {})
    toy.give("datasets/cifar10", {})
    sets = {
        "groups": {"sizes": {"title": "Sizes", "measures": {"classes": "data_set.classes"}}},
        "sets": {
            "sizes": {
                "title": "Sizes",
                "of": "data_sets",
                "rows": [{"name": "data set"}],
                "tables": [{"title": "Sizes", "groups": ["sizes"], "layout": "lines"}],
            }
        },
    }
    made = toy.execution(sets, data=("digits", "cifar10", "stl10"), seeds=2)
    made.run(lambda _: None)
    assert toy.calls() == ["data_set", "data_set"]
    [part] = made.results
    assert [found.run for found in part.runs] == ["digits", "cifar10", "stl10"]
    assert [found.rows[0].runs.get(1) for found in part.runs] == [{"data_set.classes": 7}] * 2 + [None]
    reasons = [found.rows[0].reason for found in part.runs]
    assert reasons[:2] == ["", ""]
    assert reasons[2] == "data/datasets/stl10: not found; make it with `python -m stages.prepare --data stl10`"


def test_what_no_stage_measures_is_said(toy):
    execution = toy.execution(THRESHOLDS | {"sets": {"set": THRESHOLDS["sets"]["set"] | {"tables": OTHER}}})
    assert execution.remarks == ["Not measured: Other: no stage writes nowhere.json."]


OTHER = [{"title": "T", "groups": ["best_head", "other"]}]


def test_impossible_rows_and_missing_inputs_are_refused_before_any_run(toy):
    impossible = {"name": "late", "settings": {"train_heads.beta": 2}}
    with pytest.raises(UserError, match=r"train_heads\.beta = 2: allowed: "):
        toy.execution(
            THRESHOLDS | {"sets": {"set": THRESHOLDS["sets"]["set"] | {"rows": [{"name": "first"}, impossible]}}}
        )
    with pytest.raises(
        MissingFileError, match=r"data/datasets/stl10: not found; make it with `python -m stages\.prepare"
    ):
        toy.execution(THRESHOLDS, data=("stl10",))
    with pytest.raises(MissingFileError, match="data/raw/voc2007: not found; put the data set's files there"):
        toy.execution(STARTS, data=("voc2007",))
    (toy.folder / "data/datasets/digits/unlabelled").touch()
    with pytest.raises(UserError, match="--data digits: its val split has no labels, which the tables of set need"):
        toy.execution(THRESHOLDS)
    assert toy.calls() == []
    assert not toy.scratch.exists()


def test_data_sets_that_are_not_there_are_explained_beside_those_that_are(toy):
    execution = toy.execution(THRESHOLDS, data=("digits", "stl10"), backbone=("pixels",))
    missing = "data/datasets/stl10: not found; make it with `python -m stages.prepare --data stl10`"
    [part] = execution.results
    there, absent = part.runs
    assert [row.reason for row in there.rows] == ["", "does not apply: pixels gives one block of features", ""]
    assert [row.reason for row in absent.rows] == [missing] * 3
    run(execution)
    assert [len(row.runs) for row in there.rows] == [1, 0, 1]
    assert not any(row.runs for row in absent.rows)
    assert execution.refused == {}
