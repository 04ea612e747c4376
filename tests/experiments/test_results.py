import math

import pytest

from pipeline_lib.experiments.cells import cells_of
from pipeline_lib.experiments.measures import Group
from pipeline_lib.experiments.results import RowResult, RunResults, summarised
from pipeline_lib.experiments.rows import Row, Table

BEST = Group(title="Best head", measures={"acc": "ucls.acc", "nn_count": ["knn.none", "knn.mean"]}, spread={})


def by_seed(*runs):
    return dict(enumerate(runs))


def result(*accuracies, name="row", published=None, reason="", settings=None):
    runs = [{"ucls.best_head_acc": value, "ucls.acc": value, "knn.mean": 10.0} for value in accuracies]
    return RowResult(Row(name=name, published=published), settings or {}, by_seed(*runs), reason)


def test_mean_and_sample_deviation_over_the_seeds_in_percent():
    summary = summarised(result(0.5, 0.6, 0.7), BEST, "acc")
    assert summary.mean == pytest.approx(60)
    assert summary.sd == pytest.approx(10)
    assert len(summary.values) == 3


def test_one_seed_has_no_deviation_and_counts_are_no_percentages():
    summary = summarised(result(0.5), BEST, "nn_count")
    assert (summary.mean, summary.sd, summary.heads_sd) == (10.0, None, None)


def test_a_value_that_a_run_lacks_makes_no_mean():
    runs = [{"ucls.acc": 0.5}, {}]
    assert summarised(RowResult(Row(name="row"), runs=by_seed(*runs)), BEST, "acc") is None
    assert summarised(RowResult(Row(name="row"), runs=by_seed()), BEST, "acc") is None


def test_the_deviation_over_the_heads_is_averaged():
    group = Group(title="All heads", measures={"acc": "u.mean"}, spread={"acc": "u.sd"})
    runs = [{"u.mean": 0.5, "u.sd": 0.01}, {"u.mean": 0.7, "u.sd": 0.03}]
    summary = summarised(RowResult(Row(name="row"), runs=by_seed(*runs)), group, "acc")
    assert summary.heads_sd == pytest.approx(2)
    assert summary.sd == pytest.approx(100 * math.sqrt(0.02))


def test_the_best_run_is_the_one_with_the_highest_accuracy_for_all_measures():
    group = Group(title="Best run", run="best", measures={"acc": "u.acc", "nmi": "u.nmi"})
    runs = [{"u.acc": 0.5, "u.nmi": 0.9}, {"u.acc": 0.6, "u.nmi": 0.4}]
    row = RowResult(Row(name="row"), runs=by_seed(*runs))
    assert summarised(row, group, "acc").mean == pytest.approx(60)
    assert summarised(row, group, "nmi").mean == pytest.approx(40)


def test_a_metric_may_depend_on_the_setting_of_the_row():
    group = Group(title="Neighbours", measures={"nn_acc": "similarity.above_{knn.threshold}"})
    run = {"similarity.above_0.3": 0.9, "similarity.above_0.2": 0.8}
    row = RowResult(Row(name="0.3"), {"knn.threshold": 0.3}, by_seed(run))
    assert summarised(row, group, "nn_acc").mean == pytest.approx(90)


def ladder(*rows):
    return RunResults("digits", list(rows), "pixels")


def test_effects_are_differences_to_the_row_before_that_was_run(lookup):
    table = Table(title="t", groups=["best_head"], effect="row_before")
    rows = [
        result(0.5, name="a"),
        result(name="b", reason="does not apply"),
        result(0.6, name="c"),
        result(0.55, name="d"),
    ]
    cells = [cell for cell in cells_of(table, ladder(*rows), lookup) if cell.measure == "acc"]
    effects = [cell.effect and cell.effect.mean for cell in cells]
    assert effects[:2] == [None, None]
    assert effects[2:] == [pytest.approx(10), pytest.approx(-5)]
    assert cells[1].result.reason == "does not apply"


def test_effects_of_groups_are_differences_to_the_first_of_the_row(lookup):
    table = Table(title="t", groups=["best_head", "ensemble"], effect="first_group")
    row = RowResult(Row(name="a"), runs=by_seed({"ucls.best_head_acc": 0.5, "ucls.ensemble_acc": 0.7}))
    cells = [cell for cell in cells_of(table, ladder(row), lookup) if cell.measure == "acc"]
    assert [cell.effect and cell.effect.mean for cell in cells] == [None, pytest.approx(20)]


@pytest.mark.parametrize(
    ("data", "backbone", "published", "expected"),
    [
        ("digits", "pixels", ["6.4"], ("ImageNet-100", "DINOv2 ViT-L/14", "90.90")),
        ("digits", "msn_vitl16", ["6.4"], ("ImageNet-100", "MSN ViT-L/16", "85.30")),
        ("cifar20", "dinov2_vitl14_reg", ["6.18", "6.4"], None),
    ],
)
def test_the_thesis_value_is_that_of_our_data_set_and_backbone_where_it_has_them(
    lookup, data, backbone, published, expected
):
    table = Table(title="t", groups=["best_head"], published=published)
    results = RunResults(data, [result(0.5, name="SK", published="+ SK")], backbone)
    value = next(cell.published for cell in cells_of(table, results, lookup) if cell.measure == "acc")
    assert (value and (value.dataset, value.backbone, value.value)) == expected


def test_smoothing_takes_the_row_of_the_own_data_set(lookup):
    table = Table(title="t", groups=["best_head"], published=["6.18"])
    row = result(0.5, published="w/ Smoothing")
    found = {}
    for data in ("cifar20", "tiny20"):
        cells = cells_of(table, RunResults(data, [row], "pixels"), lookup)
        found[data] = next(cell.published.value for cell in cells if cell.measure == "acc")
    assert found == {"cifar20": "70.63", "tiny20": "92.78"}
