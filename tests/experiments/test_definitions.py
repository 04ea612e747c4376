from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline_lib.base.errors import UserError
from pipeline_lib.experiments.definitions import Definitions, ExperimentSet, load_definitions
from pipeline_lib.experiments.published import load_published
from pipeline_lib.experiments.rows import Table
from pipeline_lib.params.params import load_params

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = load_definitions(ROOT / "conf/experiments.yaml")
PUBLISHED = load_published(ROOT / "conf/published.csv", ROOT / "conf/published_segins.csv")
ROWS = [(name, row) for name, chosen in DEFINITIONS.sets.items() for row in range(len(chosen.rows))]
CHAPTER_6 = {*(f"6.{number}" for number in range(1, 20)), "Figure 6.1", "Figure 6.2", "Figure 6.3"}
CHAPTER_4 = {*(f"4.{number}" for number in range(1, 9)), "Figure 4.1", "Figure 4.2"}
OF_STARTS = [chosen for chosen in DEFINITIONS.sets.values() if chosen.of_starts]


def own_settings(name):
    return [own for _, own in DEFINITIONS.row_settings(name)]


def keys_of(tree, prefix=""):
    for key, value in tree.items():
        yield from keys_of(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [f"{prefix}{key}"]


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_every_row_is_possible_and_sets_keys_that_params_has(name, row):
    settings = own_settings(name)[row]
    plain = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    params = load_params(ROOT / "params.yaml", plain)
    assert set(settings) <= set(keys_of(params.model_dump(by_alias=True)))


def test_the_sets_make_every_table_and_picture_of_the_experiments():
    named = {table for chosen in DEFINITIONS.sets.values() for part in chosen.tables for table in part.published}
    assert named >= {f"6.{number}" for number in range(1, 20)}
    assert named >= {"4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8"}
    assert {"Figure 6.1", "Figure 6.2"} <= named
    assert {kind for chosen in DEFINITIONS.sets.values() for kind in chosen.pictures} >= {
        "cluster_use",
        "neighbor_accuracy",
        "threshold",
    }


def test_each_row_is_found_in_each_table_that_is_shown_beside_it():
    for name, chosen in DEFINITIONS.sets.items():
        for table in chosen.tables:
            of = DEFINITIONS.sets[table.rows_of or name]
            if table.layout == "comparison" or of.of_starts:
                continue
            for number in table.published:
                methods = {value.method for value in PUBLISHED.values if value.table == number}
                ours = {row.published for row in of.rows if row.published}
                # The values of Figure 6.3 cannot be read from it.
                assert ours <= methods or number == "Figure 6.3", f"{name}, Table {number}"


def test_all_rows_of_a_table_of_the_thesis_have_a_row_of_ours():
    for name, number in (("ladder", "6.11"), ("threshold", "6.16"), ("heads", "6.17"), ("adaptive", "6.6")):
        methods = {value.method for value in PUBLISHED.values if value.table == number}
        assert methods == {row.published for row in DEFINITIONS.sets[name].rows if row.published}


def test_scan_has_no_weights_and_its_rows_have_values_of_their_own():
    rows = dict(zip([row.name for row in DEFINITIONS.sets["loss"].rows], own_settings("loss"), strict=True))
    scan = {"train_heads.loss": "scan", "train_heads.instance_weights": False, "train_heads.scan_entropy_weight": 4.0}
    ladder = dict(zip([row.name for row in DEFINITIONS.sets["ladder"].rows], own_settings("ladder"), strict=True))
    for name, reference in (("Baseline", "Baseline (TEMI)"), ("+ enhancements", "+ CE")):
        assert rows[f"{name}, TEMI loss"] == ladder[reference] | {"train_heads.loss": "temi"}
        assert rows[f"{name}, SCAN loss"] == ladder[reference] | scan
    found = {
        row.name: PUBLISHED.find("6.19", "ImageNet-100", str(row.published), "best_head", "acc").value
        for row in DEFINITIONS.sets["loss"].rows
    }
    assert found == {
        "Baseline, TEMI loss": "79.44",
        "+ enhancements, TEMI loss": "93.18",
        "Baseline, SCAN loss": "84.64",
        "+ enhancements, SCAN loss": "93.00",
    }


def test_names_of_data_sets_and_backbones_are_those_of_params_and_of_the_thesis():
    params = load_params(ROOT / "params.yaml")
    assert set(DEFINITIONS.datasets) <= set(params.datasets)
    assert set(DEFINITIONS.backbones) <= set(params.backbones)
    assert set(DEFINITIONS.datasets.values()) == {value.dataset for value in PUBLISHED.values} - {""}
    assert set(DEFINITIONS.backbones.values()) <= {value.backbone for value in PUBLISHED.values}


def test_rows_of_the_ladder_add_one_part_each_to_temi():
    rows = dict(zip([row.name for row in DEFINITIONS.sets["ladder"].rows], own_settings("ladder"), strict=True))
    temi = DEFINITIONS.settings["temi"]
    assert rows["Baseline (TEMI)"] == temi
    with_sinkhorn = temi | {"features.blocks": "default", "train_heads.input": "batch_norm", "knn.adaptive": True}
    assert rows["+ SK"] == with_sinkhorn | {"train_heads.sinkhorn_iterations": 3}
    assert rows["+ fitted teacher momentum"] == {
        key: value for key, value in rows["+ CE"].items() if key != "train_heads.teacher_momentum"
    }
    assert rows["+ spectral start"] == {
        key: value for key, value in rows["+ fitted teacher momentum"].items() if key != "train_heads.start"
    }
    assert rows["params.yaml as it is"] == {}


def test_the_fitted_ladder_differs_in_the_teacher_momentum_only():
    plain, fitted = own_settings("ladder"), own_settings("ladder_fitted")
    for one, other in zip(plain[:6], fitted[:6], strict=True):
        assert other == one | {"train_heads.teacher_momentum": "auto"}
    assert fitted[6] == plain[7] | {"train_heads.teacher_momentum": "auto"}
    assert fitted[7] == plain[8] | {"train_heads.teacher_momentum": "auto"}
    assert fitted[8] == plain[9] == {}


def test_rows_that_are_not_cumulative_start_from_the_base_alone():
    rows = own_settings("adaptive")
    base = DEFINITIONS.settings["temi_with_batch_norm"]
    assert rows[2] == base | {"knn.adaptive": True}


def test_an_unknown_set_is_refused_with_the_closest_name():
    with pytest.raises(
        UserError, match=r"experiment set lader: unknown; did you mean ladder\? allowed: ladder, "
    ) as caught:
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
        (
            "{name: + BN, settings",
            "{name: + SK, settings",
            r"sets\.ladder: rows: \+ SK: none may have the name of another",
        ),
        (
            "groups: [neighbors]}",
            "groups: [neighbors], rows_of: tresholds}",
            r"rows_of tresholds: unknown; did you mean threshold",
        ),
        (
            "groups: [neighbors]}",
            "groups: [neighbors], rows_of: masks}",
            "allowed: measures of starts, or groups of other",
        ),
        ("acc: ucls.best_head_acc", "acck: ucls.best_head_acc", r"measures: acck: unknown; did you mean acc"),
        ("cumulative: true", "cumulativ: true", r"sets\.ladder\.cumulativ: unknown key"),
        ("layout: stacked", "layout: stackt", r"sets\.ladder\.tables\.1\.layout = 'stackt'"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, old, new, message):
    text = (ROOT / "conf/experiments.yaml").read_text()
    assert old in text
    path = tmp_path / "experiments.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        load_definitions(path)
    assert "\n" not in str(caught.value)


def test_every_table_of_starts_finds_its_published_rows():
    for chosen in OF_STARTS:
        rows = {(row.published, row.setting) for row in chosen.filled_rows()}
        for table in chosen.tables:
            printed = {(value.method, value.setting) for value in PUBLISHED.values if value.table in table.published}
            assert not printed or len(rows & printed) > 1, (chosen.title, table.title)
    weights = {row.setting for row in DEFINITIONS.sets["lambda"].filled_rows()}
    assert weights == {value.setting for value in PUBLISHED.values if value.table == "4.6"}


CROPS = {"4.1": "seeds", "4.3": "seeds", "4.4": "seeds", "4.5": "seeds", "4.8": "tokencut", "4.2": "pretraining_data"}


@pytest.mark.parametrize("number", list(CROPS))
def test_every_row_that_the_thesis_prints_is_one_of_ours(number):
    chosen = DEFINITIONS.set_named(CROPS[number])
    ours = set()
    for row in chosen.filled_rows():
        pretrained = row.start.endswith(("-baseline", "-segins")) or row.setting
        crops = ("yes" if row.settings.get("pretrain.local_crops") else "no") if pretrained else ""
        ours.add((row.published, crops, row.setting))
    printed = {(cell.method, cell.multi_crop, cell.setting) for cell in PUBLISHED.values if cell.table == number}
    assert printed <= ours


def test_rows_carry_the_method():
    rows = DEFINITIONS.set_named("lambda").filled_rows("simsiam")
    assert rows[0].start == "simsiam-baseline"
    assert rows[0].published == "SegIns (SimSiam)"
    assert {row.start for row in rows[1:]} == {"simsiam-segins"}
    assert [row.name for row in DEFINITIONS.set_named("seeds").filled_rows()][-1] == "SegIns (MoCo-V2), multi-crop"


def test_tables_of_measures_show_gains_unless_they_say_no():
    tables = {table.title: table for table in DEFINITIONS.set_named("seeds").tables}
    assert (tables["Linear evaluation"].layout, tables["Linear evaluation"].effect) == ("gains", "against")
    assert (tables["Pseudo-masks"].layout, tables["Pseudo-masks"].effect) == ("gains", None)
    assert Table(title="T", groups=["best_head"]).layout == "columns"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"tables": [{"title": "T", "measures": ["app"]}]}, "measures: app: unknown"),
        ({"tables": [{"title": "T", "measures": ["nmi"]}]}, "measures: nmi: unknown"),
        ({"tables": [{"title": "T"}]}, "allowed: either groups or measures"),
        ({"rows": [{"start": "random", "against": "MoCo-V2"}]}, "against = 'MoCo-V2': allowed: the name of an earlier"),
        ({"rows": [{"start": "random"}, {"start": "random"}]}, "random: none may have the name of another"),
        ({"rows": [{"start": "random"}, {"name": "a"}]}, "rows: a: allowed: a start in every row"),
        ({"rows": [{"settings": {"knn.k_min": 3}}]}, "a name in each"),
    ],
)
def test_wrong_sets_are_refused(change, complaint):
    body = {"title": "T", "rows": [{"start": "random"}], "tables": [{"title": "T", "measures": ["ap"]}]} | change
    with pytest.raises(ValueError, match=complaint):
        ExperimentSet.model_validate(body)


def test_an_included_table_keeps_its_rows_and_takes_the_conditions_it_is_included_with():
    toy = Definitions.model_validate(
        {
            "groups": {"score": {"title": "Score", "measures": {"acc": "ucls.acc"}}},
            "sets": {
                "parts": {
                    "title": "Parts",
                    "note": "A note.",
                    "rows": [{"name": "a"}],
                    "pictures": ["steps"],
                    "tables": [
                        {
                            "title": "One",
                            "groups": ["score"],
                            "published": ["6.1", "6.2"],
                            "settings": {"x": 1, "y": 1},
                        },
                        {"title": "Two", "groups": ["score"], "published": ["6.3"]},
                        {"title": "Not of the thesis", "groups": ["score"]},
                    ],
                },
                "chapter": {
                    "title": "Chapter",
                    "includes": [
                        {"set": "parts", "tables": ["6.2"], "presets": ["p"], "settings": {"x": 2}},
                        {"set": "parts", "data": ["d"]},
                    ],
                },
            },
        }
    )
    tables = toy.sets["chapter"].tables
    assert [(table.title, table.published) for table in tables] == [
        ("Parts: One", ("6.2",)),
        ("Parts: One", ("6.1", "6.2")),
        ("Parts: Two", ("6.3",)),
    ]
    assert {table.rows_of for table in tables} == {"parts"}
    assert [table.settings for table in tables] == [{"x": 2, "y": 1}, {"x": 1, "y": 1}, {}]
    assert [(table.presets, table.data) for table in tables] == [(("p",), ()), ((), ("d",)), ((), ("d",))]
    assert [(table.note, table.pictures) for table in tables] == [
        ("A note.", ("steps",)),
        ("A note.", ()),
        ("", ("steps",)),
    ]


@pytest.mark.parametrize(
    ("included", "message"),
    [
        ({"set": "lader"}, "includes lader: unknown; did you mean ladder"),
        (
            {"set": "ladder", "tables": ["6.1"]},
            "includes ladder: table 6.1: unknown; did you mean 6.11",
        ),
        ({"set": "chapter"}, "includes chapter: unknown"),
    ],
)
def test_what_is_included_must_be_there(included, message):
    sets = {name: DEFINITIONS.sets[name].model_dump() for name in ("ladder",)}
    body = {"groups": {n: g.model_dump() for n, g in DEFINITIONS.groups.items()}, "settings": DEFINITIONS.settings}
    with pytest.raises(ValidationError, match=message):
        Definitions.model_validate({**body, "sets": {**sets, "chapter": {"title": "C", "includes": [included]}}})


@pytest.mark.parametrize(("chapter", "numbers"), [("thesis-chapter-6", CHAPTER_6), ("thesis-chapter-4", CHAPTER_4)])
def test_a_chapter_makes_every_table_and_figure_with_values(chapter, numbers):
    made = {number for table in DEFINITIONS.sets[chapter].tables for number in table.published}
    assert made == numbers
