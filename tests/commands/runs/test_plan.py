"""What a set stands for: parts, data sets, rows, settings and refusals, before anything runs."""

import pytest

from commands.runs.plan import Choice, planned_parts
from commands.runs.row_settings import row_params, scaled, seeded
from pipeline_lib.base.errors import UserError
from pipeline_lib.experiments.definitions import Definitions, load_definitions
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import Preset, Presets, load_presets


@pytest.fixture(scope="module")
def definitions(repository):
    return load_definitions(repository / "conf/experiments.yaml")


@pytest.fixture(scope="module")
def presets(repository):
    return load_presets(repository / "conf/presets.yaml")


@pytest.fixture(autouse=True)
def here(repository, monkeypatch):
    monkeypatch.chdir(repository)


@pytest.fixture
def plan(definitions, presets):
    return lambda name, **choice: planned_parts(definitions, presets, Choice(name, **choice))


def names(part):
    return [(run.data, run.backbone, run.target) for run in part.runs]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, [("digits", "pixels", "")]),
        (
            {"data": ("digits", "stl10"), "backbone": ("pixels",)},
            [("digits", "pixels", ""), ("stl10", "pixels", "")],
        ),
        (
            {"data": ("digits", "stl10"), "backbone": ("pixels", "dino_vitb16")},
            [("digits", "pixels", ""), ("stl10", "dino_vitb16", "")],
        ),
        (
            {"presets": {"suite.data": ["cifar10"], "suite.backbone": ["dinov2_vitl14_reg"]}},
            [("cifar10", "dinov2_vitl14_reg", "")],
        ),
    ],
)
def test_data_sets_and_backbones_are_paired(plan, choice, expected):
    [part] = plan("heads", **choice)
    assert names(part) == expected
    assert part.runs[0].params.suite.data == (expected[0][0],)


def test_starts_are_transferred_to_their_own_data_set_or_another(plan):
    assert names(plan("seeds")[0]) == [("scenes", "", "scenes")]
    assert names(plan("seeds", data=("voc2007",))[0]) == [("voc2007", "", "voc2007")]
    [part] = plan("seeds", data=("imagenet100_cmc",), target="voc0712")
    assert names(part) == [("imagenet100_cmc", "", "voc0712")]
    assert part.runs[0].params.segins_suite.sets == ("imagenet100_cmc", "voc0712")


@pytest.mark.parametrize(
    ("name", "choice", "message"),
    [
        ("lader", {}, r"experiment set lader: unknown; did you mean ladder"),
        ("ladder", {"seeds": 0}, r"--seeds 0: allowed: 1 or more"),
        ("ladder", {"single": {"knn.k_min": 9}}, r"-S knn\.k_min=9: row Baseline \(TEMI\) of ladder sets this key"),
        ("heads", {"single": {"knn.treshold": 2}}, r"knn\.treshold = 2: unknown key; did you mean threshold"),
        ("heads", {"data": ("digit",)}, r"--data digit: unknown; did you mean digits\? allowed: digits, "),
        ("heads", {"backbone": ("pixel",)}, r"--backbone pixel: unknown; did you mean pixels\?"),
        ("heads", {"data": ("a",) * 3, "backbone": ("b",) * 2}, "--data a: unknown"),
        (
            "heads",
            {"data": ("digits", "stl10", "cifar10"), "backbone": ("pixels",) * 2},
            "--backbone pixels,pixels: allowed: one, or one for each of the 3 data sets",
        ),
        ("heads", {"rows": ("11",)}, r"--rows 11: unknown; .*allowed: 10, 20"),
        ("heads", {"only": ("6.9",)}, r"--only 6\.9: unknown; .*allowed: 6\.17"),
        ("heads", {"method": "moco"}, "--method moco: the set has rows of all methods or of none"),
        ("seeds", {"data": ("scene",)}, "--data scene: unknown; did you mean scenes"),
        ("seeds", {"target": "scene"}, "--target scene: unknown; did you mean scenes"),
        ("lambda", {"single": {"segins.lambda": 1.0}}, r"-S segins\.lambda=1\.0: row λ 0\.5 of lambda sets this key"),
        ("seeds", {"only": ("linear",)}, r"--only linear: unknown; did you mean linear_eval\? allowed: 4\.1, 4\.3"),
    ],
)
def test_wrong_choices_are_refused_in_one_line(plan, name, choice, message):
    with pytest.raises(UserError, match=message) as caught:
        plan(name, **choice)
    assert "\n" not in str(caught.value)


def test_a_preset_may_set_what_the_rows_vary(plan):
    [part] = plan("threshold", presets={"knn.threshold": 0.3})
    assert row_params(part.runs[0], part.runs[0].rows[0]).knn.threshold == 1.0


def test_starts_that_the_suite_lacks_are_left_out(plan):
    changes = {"segins_suite.method": ["simsiam"], "segins_suite.start": ["random", "simsiam-baseline"]}
    [part] = plan("seeds", presets=changes)
    assert part.runs[0].gaps == {
        name: f"{start} is not in segins_suite"
        for start, name in (
            ("moco-baseline", "MoCo-V2"),
            ("moco-segins", "SegIns (MoCo-V2)"),
            ("moco-baseline", "MoCo-V2, multi-crop"),
            ("moco-segins", "SegIns (MoCo-V2), multi-crop"),
        )
    }
    assert "MoCo-V2" not in [planned.row.name for planned in part.runs[0].rows]


def test_starts_that_rows_name_are_given_whatever_the_suite_repeats(plan):
    [part] = plan("seeds")
    assert part.runs[0].gaps == {}
    suite = part.runs[0].params.segins_suite
    assert suite.given == ("random", "supervised")
    assert suite.start == (*suite.given, *suite.pretrained())


def test_a_row_may_have_some_evaluations_only(plan, definitions):
    [part] = plan("pretraining_data", only=("linear_eval", "detection"))
    rows = {planned.row.name: planned.row for planned in part.runs[0].rows}
    found = {
        name: {key.split(".")[0] for _, keys in part.metrics(definitions, row, {}) for key in keys}
        for name, row in rows.items()
    }
    assert found["MoCo-V2, ImageNet"] == {"detection"}
    assert found["MoCo-V2, ImageNet-100"] == {"detection", "linear_eval"}


def test_two_crops_and_multi_crop_stand_side_by_side(plan):
    [part] = plan("seeds")
    run = part.runs[0]
    params = {planned.row.name: row_params(run, planned).pretrain for planned in run.rows}
    assert params["SegIns (MoCo-V2), multi-crop"].local_crops == 4
    assert params["SegIns (MoCo-V2)"].local_crops == 0
    assert params["SegIns (MoCo-V2), multi-crop"] == params["SimSiam, multi-crop"]


def test_rows_tables_and_evaluations_can_be_chosen(plan, definitions):
    [part] = plan("seeds", rows=("MoCo-V2",), only=("4.1", "4.3", "linear_eval"))
    assert [table.title for table in part.tables] == ["Linear evaluation", "Object detection"]
    run = part.runs[0]
    assert [planned.row.name for planned in run.rows] == ["MoCo-V2"]
    found = [keys for _, keys in part.metrics(definitions, run.rows[0].row, {})]
    assert found == [(f"linear_eval.{key}",) for key in ("top1", "top5", "ridge_acc", "knn_acc")]


def test_an_evaluation_leaves_the_measures_of_no_evaluation(plan, definitions):
    [part] = plan("seeds", only=("segmentation",))
    files = {key.split(".")[0] for _, keys in part.metrics(definitions, part.runs[0].rows[0].row, {}) for key in keys}
    assert files == {"segmentation", "masks", "pretrain_segins", "pretrain_baseline"}


def test_only_measures_of_the_metric_of_the_detections_are_wanted(plan, definitions):
    found = {}
    for metric in ("voc", "coco"):
        [part] = plan("seeds", presets={"detection.metric": metric, "detection.masks": metric == "coco"})
        found[metric] = {measured for measured, _ in part.metrics(definitions, part.runs[0].rows[0].row, {})}
    assert {"AP", "AP50 mask"} <= found["voc"]
    assert "AP box" not in found["voc"]
    assert {"AP box", "AP50 mask"} <= found["coco"]
    assert "AP" not in found["coco"]


TABLES = {
    "groups": {"best": {"title": "Best head", "measures": {"acc": "ucls.best_head_acc"}}},
    "sets": {
        "rates": {
            "title": "Rates",
            "rows": [{"name": "low", "presets": ["low"]}, {"name": "high", "settings": {"train_heads.heads": 7}}],
            "tables": [{"title": "T", "groups": ["best"]}],
        },
        "thesis": {
            "title": "Tables of two data sets and targets",
            "backbone": ["pixels"],
            "settings": {"train_heads.iterations": 50, "knn.threshold": 0.5},
            "tables": [
                {"title": "A", "published": ["6.9"], "groups": ["best"], "rows_of": "rates", "data": ["digits"]},
                {
                    "title": "B",
                    "published": ["6.12"],
                    "groups": ["best"],
                    "rows_of": "rates",
                    "data": ["stl10"],
                    "presets": ["high"],
                    "settings": {"knn.threshold": 0.3},
                },
                {"title": "C", "published": ["6.11"], "groups": ["best"], "rows_of": "rates", "data": ["digits"]},
                {"title": "D", "published": ["4.4"], "measures": ["coco_ap"], "rows_of": "starts", "target": "coco"},
            ],
        },
        "starts": {
            "title": "Starts",
            "rows": [{"start": "random"}],
            "tables": [{"title": "T", "measures": ["ap"]}],
        },
    },
}
LOW_AND_HIGH = Presets(
    {
        "low": Preset(describe="", settings={"train_heads.iterations": 10, "suite.data": ["cifar10"]}),
        "high": Preset(describe="", settings={"train_heads.iterations": 90, "knn.threshold": 0.9}),
    }
)


def bound(**choice):
    return planned_parts(Definitions.model_validate(TABLES), LOW_AND_HIGH, Choice("thesis", **choice))


def test_tables_of_one_set_have_data_sets_targets_presets_and_settings_of_their_own():
    first, second, third = bound()
    assert [[table.title for table in part.tables] for part in (first, second, third)] == [["A", "C"], ["B"], ["D"]]
    assert [names(part)[0] for part in (first, second, third)] == [
        ("digits", "pixels", ""),
        ("stl10", "pixels", ""),
        ("scenes", "", "coco"),
    ]
    assert (first.runs[0].params.train_heads.iterations, first.runs[0].params.knn.threshold) == (50, 0.5)
    # The presets of a table win over the set, its settings over both.
    assert (second.runs[0].params.train_heads.iterations, second.runs[0].params.knn.threshold) == (90, 0.3)
    assert second.conditions == "stl10; preset high; `knn.threshold=0.3`"
    assert third.conditions == "transfer to coco"


def test_the_command_line_wins_over_what_tables_are_bound_to():
    parts = bound(data=("digits",), single={"train_heads.iterations": 5}, only=("6.12",))
    assert [table.title for part in parts for table in part.tables] == ["B"]
    assert parts[0].conditions == "preset high; `knn.threshold=0.3`"
    [run] = parts[0].runs
    assert (run.data, run.params.train_heads.iterations, run.params.knn.threshold) == ("digits", 5, 0.3)
    # What the user gives wins over the preset of a row, too, and names in that do not count.
    low = row_params(run, run.rows[0])
    assert (low.train_heads.iterations, low.suite.data) == (5, ("digits",))
    with pytest.raises(UserError, match=r"-S train_heads\.heads=3: row high of rates sets this key"):
        bound(single={"train_heads.heads": 3})


def test_presets_of_a_row_win_over_those_of_its_table():
    run = bound()[1].runs[0]
    assert [row_params(run, planned).train_heads.iterations for planned in run.rows] == [10, 90]
    assert [row_params(run, planned).train_heads.heads for planned in run.rows] == [10, 7]


def test_one_seed_goes_to_both_chains_and_not_to_the_images(repository):
    before = load_params(repository / "params.yaml")
    after = load_params(repository / "params.yaml", seeded(3))
    assert (after.suite.seed, after.segins_suite.seed) == (3, 3)
    assert (after.prepare, after.scenes) == (before.prepare, before.scenes)


def test_factors_multiply_what_is_there(repository):
    params = load_params(repository / "params.yaml", {"train_heads.iterations": 1500, "train_heads.beta": 0.1})
    settings = {f"train_heads.{key}": {"times": factor} for key, factor in (("iterations", 2), ("epochs", 2))}
    assert scaled({**settings, "train_heads.beta": {"times": 1.5}, "d": 7}, params) == {
        "train_heads.iterations": 3000,
        "train_heads.epochs": None,
        "train_heads.beta": pytest.approx(0.15),
        "d": 7,
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("knn.threshold", {"times": 2}),
        ("knn.adaptive", {"times": 2}),
        ("train_heads.heads", {"time": 2}),
        ("train_heads.heads", {"times": "x"}),
    ],
)
def test_what_cannot_be_multiplied_is_refused(repository, key, value):
    with pytest.raises(UserError, match=rf"^{key} = "):
        scaled({key: value}, load_params(repository / "params.yaml"))


def test_a_preset_by_data_set_is_that_of_each(plan):
    [part] = plan("thesis-chapter-6", only=("6.12",))
    assert names(part) == [
        ("cifar10", "dinov2_vitl14_reg", ""),
        ("cifar20", "dinov2_vitl14_reg", ""),
        ("stl10", "dinov2_vitb14", ""),
    ]
    betas = [run.params.train_heads.beta for run in part.runs]
    assert betas == [0.6, 0.55, 0.6]
    assert [run.params.train_heads.epochs for run in part.runs] == [400, 400, 800]


def test_presets_of_the_command_line_stand_in_place_of_bound_ones(plan, presets):
    trial = presets.settings(["trial"])
    [part] = plan("thesis-chapter-6", only=("6.6",), data=("digits",), backbone=("pixels",), presets=trial)
    params, plain = part.runs[0].params, load_params()
    assert params.train_heads.heads == trial["train_heads.heads"]
    assert params.train_heads.learning_rate == plain.train_heads.learning_rate
    # What is bound by a setting, not by a preset, stays.
    assert params.knn.threshold == 0.5
    assert "preset" not in part.conditions
    [bound] = plan("thesis-chapter-6", only=("6.6",))
    assert bound.runs[0].params.train_heads.learning_rate == 1.25e-6
    assert bound.conditions.startswith("preset thesis-ablation; ")


def test_tables_that_differ_in_what_the_command_line_replaces_are_made_once(plan, presets):
    choice = {"data": ("digits",), "backbone": ("pixels",), "presets": presets.settings(["trial"])}
    [part] = plan("thesis-chapter-6", only=("6.12", "6.13", "6.14", "6.15"), **choice)
    [table] = part.tables
    assert table.published == ("6.12", "6.13", "6.14", "6.15")
    assert len(plan("thesis-chapter-6", only=("6.12", "6.13", "6.14", "6.15"))) == 4


def test_a_bound_target_gives_way_to_a_data_set_of_the_command_line(plan, presets):
    [linear, segmentation] = plan("thesis-chapter-4", only=("4.6",))
    assert (names(linear), names(segmentation)) == (
        [("imagenet100_cmc", "", "voc0712")],
        [("imagenet100_cmc", "", "voc2012_aug")],
    )
    trial = presets.settings(["trial"])
    for part in plan("thesis-chapter-4", only=("4.6",), data=("scenes",), presets=trial):
        assert names(part) == [("scenes", "", "scenes")]


def test_names_of_rows_may_have_commas(plan):
    pieces = ("TEMI", "best head", "TURTLE", "UCLS", "ensemble + self-training ‡")
    [part] = plan("suite", rows=pieces)
    found = [planned.row.name for planned in part.runs[0].rows]
    assert found == ["TEMI, best head", "TURTLE", "UCLS, ensemble + self-training ‡"]
    with pytest.raises(UserError, match=r"--rows TEMI: unknown; allowed: k-means, UMAP \+ k-means, TEMI, best head, "):
        plan("suite", rows=("TEMI", "TURTLE"))
