from pathlib import Path

import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import read_yaml
from pipeline_lib.experiments.definitions import load_definitions, scaled
from pipeline_lib.experiments.published import load_published
from pipeline_lib.params.params import load_params

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = load_definitions(ROOT / "conf/ablations.yaml")
PUBLISHED = load_published(ROOT / "conf/published.csv")
ROWS = [(name, row) for name, chosen in DEFINITIONS.sets.items() for row in range(len(chosen.rows))]
CURRENT = {"train_heads.epochs": None, "train_heads.iterations": 1500}


def keys_of(tree, prefix=""):
    for key, value in tree.items():
        yield from keys_of(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [f"{prefix}{key}"]


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_every_row_is_possible_and_sets_keys_that_params_has(name, row):
    settings = DEFINITIONS.row_settings(name)[row]
    load_params(ROOT / "params.yaml", scaled(settings, CURRENT))
    assert set(settings) <= set(keys_of(read_yaml(ROOT / "params.yaml")))


def test_the_sets_make_every_table_and_figure_of_the_experiments():
    named = {table for chosen in DEFINITIONS.sets.values() for part in chosen.tables for table in part.published}
    assert named >= {"6.3", "6.4", "6.5", "6.6", "6.7", "6.8", "6.9", *(f"6.{number}" for number in range(10, 20))}
    assert {"Figure 6.1", "Figure 6.2"} <= named
    assert {kind for chosen in DEFINITIONS.sets.values() for kind in chosen.figures} >= {
        "cluster_use",
        "neighbor_accuracy",
        "threshold",
    }


def test_each_row_is_found_in_each_table_that_is_shown_beside_it():
    for name, chosen in DEFINITIONS.sets.items():
        for table in chosen.tables:
            if table.layout == "comparison":
                continue
            for number in table.published:
                methods = {figure.method for figure in PUBLISHED.figures if figure.table == number}
                ours = {row.published for row in chosen.rows if row.published}
                assert ours <= methods, f"{name}, Table {number}"


def test_all_rows_of_a_table_of_the_thesis_have_a_row_of_ours():
    for name, number in (("ladder", "6.11"), ("threshold", "6.16"), ("heads", "6.17"), ("adaptive", "6.6")):
        methods = {figure.method for figure in PUBLISHED.figures if figure.table == number}
        assert methods == {row.published for row in DEFINITIONS.sets[name].rows if row.published}


def test_names_of_data_sets_and_backbones_are_those_of_params_and_of_the_thesis():
    params = load_params(ROOT / "params.yaml")
    assert set(DEFINITIONS.datasets) <= set(params.datasets)
    assert set(DEFINITIONS.backbones) <= set(params.backbones)
    assert set(DEFINITIONS.datasets.values()) == {figure.dataset for figure in PUBLISHED.figures}
    assert set(DEFINITIONS.backbones.values()) <= {figure.backbone for figure in PUBLISHED.figures}


def test_rows_of_the_ladder_add_one_part_each_to_temi():
    rows = dict(
        zip([row.name for row in DEFINITIONS.sets["ladder"].rows], DEFINITIONS.row_settings("ladder"), strict=True)
    )
    temi = DEFINITIONS.settings["temi"]
    assert rows["Baseline (TEMI)"] == temi
    with_sinkhorn = temi | {"features.blocks": "default", "train_heads.batch_norm": True, "knn.adaptive": True}
    assert rows["+ SK"] == with_sinkhorn | {"train_heads.sinkhorn_iterations": 3}
    assert rows["+ fitted teacher momentum"] == {
        key: value for key, value in rows["+ CE"].items() if key != "train_heads.teacher_momentum"
    }
    assert rows["+ spectral start"] == {
        key: value for key, value in rows["+ fitted teacher momentum"].items() if key != "train_heads.start"
    }
    assert rows["params.yaml as it is"] == {}


def test_the_fitted_ladder_differs_in_the_teacher_momentum_only():
    plain, fitted = DEFINITIONS.row_settings("ladder"), DEFINITIONS.row_settings("ladder_fitted")
    for one, other in zip(plain[:6], fitted[:6], strict=True):
        assert other == one | {"train_heads.teacher_momentum": "auto"}
    assert fitted[6] == plain[7] | {"train_heads.teacher_momentum": "auto"}
    assert fitted[7] == plain[8] | {"train_heads.teacher_momentum": "auto"}
    assert fitted[8] == plain[9] == {}


def test_rows_that_are_not_cumulative_start_from_the_base_alone():
    rows = DEFINITIONS.row_settings("adaptive")
    base = DEFINITIONS.settings["temi_with_batch_norm"]
    assert rows[2] == base | {"knn.adaptive": True}


def test_factors_multiply_what_is_there():
    settings = {"a": {"times": 2}, "b": {"times": 2}, "c": {"times": 1.5}, "d": 7}
    assert scaled(settings, {"a": 1500, "b": None, "c": 0.1}) == {
        "a": 3000,
        "b": None,
        "c": pytest.approx(0.15),
        "d": 7,
    }


@pytest.mark.parametrize(
    ("value", "current"), [({"times": 2}, "auto"), ({"times": 2}, True), ({"time": 2}, 3), ({"times": "x"}, 3)]
)
def test_what_cannot_be_multiplied_is_refused(value, current):
    with pytest.raises(UserError, match=r"^key = "):
        scaled({"key": value}, {"key": current})


def test_an_unknown_set_is_refused_with_the_closest_name():
    with pytest.raises(UserError, match=r"ablation lader: unknown; did you mean ladder\? allowed: ladder, ") as caught:
        DEFINITIONS.set_named("lader")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "groups: [best_head], effect",
            "groups: [best_hed], effect",
            r"group best_hed: unknown; did you mean best_head",
        ),
        ("base: [temi]", "base: [tem]", r"sets\.ladder: base tem: unknown; did you mean temi"),
        ("{name: + BN, settings", "{name: + SK, settings", r"sets\.ladder: rows: none may have the name of another"),
        ("cumulative: true", "cumulativ: true", r"sets\.ladder\.cumulativ: unknown key"),
        ("layout: stacked", "layout: stackt", r"sets\.ladder\.tables\.1\.layout = 'stackt'"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, old, new, message):
    text = (ROOT / "conf/ablations.yaml").read_text()
    assert old in text
    path = tmp_path / "ablations.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        load_definitions(path)
    assert "\n" not in str(caught.value)
