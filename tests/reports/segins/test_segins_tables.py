import json

import pytest

from pipeline_lib.experiments.published import Published, PublishedValue
from pipeline_lib.reports.segins.measures import flat_metrics, measures_by_start
from pipeline_lib.reports.segins.tables import percent, signed_points, start_title, thesis_tables

PRINTED = Published(
    tuple(
        PublishedValue("4.3", "SimSiam", measure, value, multi_crop="no")
        for measure, value in (("ap", "53.4"), ("ap50", "79.9"))
    )
)
STARTS = ("random", "moco-baseline", "moco-segins")


@pytest.fixture
def metrics(tmp_path):
    for number, start in enumerate(STARTS):
        (tmp_path / f"linear_eval-{start}.json").write_text(json.dumps({"top1": 0.2 + number / 10, "classes": 10}))
        values = {"ap": 0.1 * number, "ap50": 0.2 * number, "ap75": 0.0, "loss": 3.0}
        (tmp_path / f"detection-{start}-scenes.json").write_text(json.dumps(values))
    (tmp_path / "segmentation-moco-segins-scenes.json").write_text(json.dumps({"frozen_miou": 0.25}))
    probed = {"pixel_ap": 0.7, "iou": 0.5, "threshold": 0.3}
    (tmp_path / "dense_probe-moco-segins-scenes.json").write_text(json.dumps(probed))
    return tmp_path


def test_measures_are_those_that_the_stages_wrote(metrics):
    measures = measures_by_start(metrics, STARTS, ("scenes",), coco_metric=False)
    assert measures["random"] == {"top1": 0.2, "ap": 0.0, "ap50": 0.0, "ap75": 0.0}
    assert measures["moco-segins"]["frozen_miou"] == 0.25
    assert {key: value for key, value in measures["moco-segins"].items() if key.startswith("dense_probe")} == {
        "dense_probe_pixel_ap": 0.7,
        "dense_probe_iou": 0.5,
    }


def test_coco_s_metric_has_names_of_its_own(metrics):
    measures = measures_by_start(metrics, STARTS, ("scenes",), coco_metric=True)
    assert measures["moco-baseline"]["coco_ap"] == pytest.approx(0.1)
    assert "ap" not in measures["moco-baseline"]


def test_gains_are_differences_of_what_both_have(metrics):
    flat = flat_metrics(measures_by_start(metrics, STARTS, ("scenes",), coco_metric=False), ["moco", "simsiam"])
    assert flat["moco_gain_top1"] == pytest.approx(0.1)
    assert flat["moco_gain_ap50"] == pytest.approx(0.2)
    assert "moco_gain_frozen_miou" not in flat
    assert not [key for key in flat if key.startswith("simsiam")]


def test_tables_put_this_run_above_the_printed_rows(metrics):
    measures = measures_by_start(metrics, STARTS, ("scenes",), coco_metric=False)
    tables = {table.name: table for table in thesis_tables(measures, PRINTED, {"4.6": "λ 2"})}
    assert list(tables) == ["4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8", ""]
    rows = tables["4.3"].rows
    assert [(row.title, row.published) for row in rows] == [
        ("random", False),
        ("MoCo-V2", False),
        ("SegIns (MoCo-V2)", False),
        ("gain over MoCo-V2", False),
        ("SimSiam, two crops", True),
    ]
    assert [row.gain for row in rows] == [False, False, False, True, False]
    assert rows[3].cells == ("+20.0", "+10.0", "0.0")
    assert rows[1].cells == ("20.0", "10.0", "0.0")
    assert rows[-1].cells == ("79.9", "53.4", "–")
    assert [row.title for row in tables["4.6"].rows] == ["MoCo-V2", "SegIns (MoCo-V2), λ 2", "gain over MoCo-V2"]
    assert [row.cells for row in tables["4.5"].rows] == [("25.0", "–"), ("–", "–")]
    assert [row.title for row in tables["4.2"].rows] == ["MoCo-V2"]
    assert not tables["4.4"].ours


def test_texts():
    assert [signed_points(value) for value in (0.012, -0.012, 0.0004, -0.0004)] == ["+1.2", "-1.2", "0.0", "0.0"]
    assert (percent(None), percent(0.1234), percent(0.5, 0.011)) == ("–", "12.3", "50.0 ± 1.1")
    assert [start_title(name) for name in ("random", "supervised", "simsiam-baseline")] == [
        "random",
        "supervised",
        "SimSiam",
    ]
