import pytest

from pipeline_lib.reports.drawing.panels import write_panels
from pipeline_lib.reports.drawing.svg import inline_svg
from pipeline_lib.reports.ucls.scores import label_free_rows, score_panel, score_rows


def test_rows_are_those_that_exist_baselines_first_and_bounds_last():
    measures = {"upper_bound_knn_acc": 0.9, "self_trained_acc": 0.6, "self_trained_nmi": 0.5, "kmeans_acc": 0.4}
    rows = score_rows({**measures, "heads_mean_acc": 0.55, "heads_sd_acc": 0.02})
    assert [(row.title, row.kind) for row in rows] == [
        ("k-means", "rival"),
        ("heads, mean", "method"),
        ("self-trained ‡", "method"),
        ("k-NN", "bound"),
    ]
    assert [row.acc for row in rows] == [0.4, 0.55, 0.6, 0.9]
    assert [row.sd for row in rows] == [None, 0.02, None, None]
    assert (rows[2].nmi, rows[2].ari) == (0.5, None)


def test_chart_is_of_accuracies_or_of_what_needs_no_labels(tmp_path):
    scores = score_rows({"self_trained_acc": 0.61, "heads_mean_acc": 0.55, "heads_sd_acc": 0.1})
    label_free = label_free_rows({"ensemble_anmi": 0.77, "kmeans_silhouette": -0.2, "self_trained_empty_clusters": 3})
    both, without = score_panel(scores, label_free), score_panel([], label_free)
    assert "0.610" in both.alt
    assert "0.770" in without.alt
    assert "empty" not in without.alt
    for number, panel in enumerate((both, without)):
        write_panels(tmp_path / f"{number}.png", [panel])
    assert ">0.610<" in inline_svg(both, "x")
    assert ">-0.200<" in inline_svg(without, "x")


def test_a_run_without_measures_is_refused():
    with pytest.raises(ValueError, match="self_trained_acc"):
        score_panel([], label_free_rows({"self_trained_empty_clusters": 3}))
