from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from commands.preset import command, dvc_arguments
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.base.yaml_files import read_yaml
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import load_presets

ROOT = Path(__file__).resolve().parents[2]
PRESETS = load_presets(ROOT / "conf/presets.yaml")
BENCHMARKS = {
    "cifar10": ("cifar10", 256, 0.07, 0.6, 400),
    "cifar20": ("cifar20", 256, 0.07, 0.55, 400),
    "cifar100": ("cifar100", 256, 0.07, 0.6, 400),
    "stl10": ("stl10", 1024, 0.1, 0.6, 800),
    "food101": ("food101", 1024, 0.1, 0.6, 400),
    "imagenet50": ("imagenet50", 1024, 0.1, 0.6, 400),
    "imagenet100": ("imagenet100", 1024, 0.1, 0.6, 400),
    "imagenet200": ("imagenet200", 1024, 0.1, 0.6, 400),
    "tiny-imagenet": ("tiny_imagenet", 1024, 0.1, 0.6, 400),
    "imagenet": ("imagenet", 1024, 0.1, 0.6, 400),
}


def with_preset(*names):
    return load_params(ROOT / "params.yaml", PRESETS.settings(names))


@pytest.mark.parametrize("name", list(PRESETS.by_name))
def test_every_preset_fits_params_and_says_nothing_of_the_machine(name):
    with_preset(name)
    assert not [key for key in PRESETS.settings([name]) if key.startswith("machine.")]


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_the_benchmarks_have_the_settings_of_the_thesis(name):
    data, batch, temperature, beta, epochs = BENCHMARKS[name]
    params = with_preset(f"thesis-{name}")
    heads = params.train_heads
    assert params.suite.data == (data,)
    assert params.suite.backbone == (("dinov2_vitb14",) if data == "stl10" else ("dinov2_vitl14_reg",))
    assert (heads.batch_size, heads.teacher_temperature, heads.beta, heads.epochs) == (batch, temperature, beta, epochs)
    assert heads.warmup * epochs == 100
    assert (heads.heads, heads.hidden, heads.bottleneck, heads.learning_rate) == (50, 512, 256, 1.25e-6)
    assert (params.knn.threshold, params.knn.k_min, params.features.centre) == (0.3, 50, False)
    assert (heads.sinkhorn_iterations, heads.cross_entropy, heads.symmetric, heads.input) == (
        3,
        0.5,
        False,
        "batch_norm",
    )


def test_later_presets_win_and_others_stay():
    settings = PRESETS.settings(["thesis-cifar10", "fast"])
    assert settings["train_heads.heads"] == 10
    assert settings["train_heads.teacher_temperature"] == 0.07


def test_temi_switches_off_what_the_ladder_starts_without():
    ladder = read_yaml(ROOT / "conf/experiments.yaml")["settings"]["temi"]
    temi = PRESETS.settings(["temi"])
    assert {key: temi.get(key) for key in ladder} == ladder


@pytest.mark.parametrize(
    "name", [name for name in PRESETS.by_name if "train_heads.final_learning_rate" in PRESETS.settings([name])]
)
def test_the_rate_stays_at_its_peak_as_in_the_recipe_of_temi(name):
    heads = with_preset(name).train_heads
    assert heads.final_learning_rate == heads.learning_rate
    assert heads.frozen_prototype_epochs == 1


def test_a_trial_of_the_thesis_trains_the_bounds_no_longer_than_the_heads():
    bounds = with_preset("thesis", "trial").bounds
    assert (bounds.true_neighbor_heads, bounds.true_neighbor_iterations, bounds.turtle.steps) == (4, 300, 100)
    assert not bounds.umap.run
    assert with_preset("trial").bounds.umap.epochs == 50


def test_true_neighbours_are_learned_as_long_as_the_thesis_trains():
    params = with_preset("thesis-imagenet100")
    trained = params.train_heads.model_copy(update=params.bounds.true_neighbor_training())
    assert trained == params.train_heads


def test_the_command_hands_dvc_every_setting(monkeypatch):
    monkeypatch.chdir(ROOT)
    line = command(["thesis-cifar20"], ["knn.threshold=0.4", "bounds.kmeans_restarts=3"], ["--queue"])
    assert line[1:5] == ["-m", "dvc", "exp", "run"]
    assert line[-1] == "--queue"
    assert line[5:-1:2] == ["-S"] * ((len(line) - 6) // 2)
    parsed = [OverridesParser.create().parse_override(text) for text in line[6:-1:2]]
    expected = PRESETS.settings(["thesis-cifar20"]) | {"knn.threshold": 0.4, "bounds.kmeans_restarts": 3}
    assert "+bounds.kmeans_restarts=3" in line
    assert {override.key_or_group: override.value() for override in parsed} == expected


@pytest.mark.parametrize(
    ("names", "settings", "message"),
    [
        (["thesis-cifar"], [], r"preset thesis-cifar: unknown; did you mean thesis-cifar\d+\? allowed: thesis, "),
        (["fast"], ["knn.treshold=1"], r"params\.yaml: knn\.treshold = 1: unknown key; did you mean threshold"),
        (["fast"], ["knn.threshold=2"], r"params\.yaml: knn\.threshold = 2: allowed: "),
    ],
)
def test_wrong_names_and_settings_are_refused_in_one_line(monkeypatch, names, settings, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=message) as caught:
        command(names, settings, [])
    assert "\n" not in str(caught.value)


def test_the_command_asks_for_the_stages_that_presets_are_for(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert command(["thesis-table-4.1"], [], [])[-1] == "linear_eval"
    assert command(["thesis-table-4.1", "thesis-table-4.5", "fast"], [], ["--queue"])[-3:] == [
        "--queue",
        "linear_eval",
        "segmentation",
    ]
    assert "=" in command(["fast"], [], [])[-1]


def test_arguments_for_dvc_are_split_as_a_shell_does():
    assert dvc_arguments('--queue --name "a b"') == ["--queue", "--name", "a b"]
    with pytest.raises(UserError, match="--dvc '\"x': No closing quotation"):
        dvc_arguments('"x')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {describe: x, setting: {}}", r"a\.setting: unknown key"),
        ("- a", "expected presets by name, found list"),
        ("a: [1", "not valid YAML"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "presets.yaml"
    with pytest.raises(MissingFileError, match="not found"):
        load_presets(path)
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_presets(path)
    assert "\n" not in str(caught.value)


def test_several_parents_count_in_their_order_and_what_they_share_comes_first(tmp_path):
    path = tmp_path / "presets.yaml"
    path.write_text(
        "base: {describe: x, settings: {a: 0, b: 0, c: 0}, stages: [knn]}\n"
        "left: {describe: x, extends: base, settings: {a: 1, b: 1}}\n"
        "right: {describe: x, extends: [base], settings: {b: 2}, stages: [bounds]}\n"
        "both: {describe: x, extends: [left, right], settings: {d: 3}}\n"
        "own: {describe: x, extends: both, stages: [assign, knn]}\n"
    )
    presets = load_presets(path)
    assert presets.settings(["both"]) == {"a": 1, "b": 2, "c": 0, "d": 3}
    assert presets.stages(["left"]) == ["knn"]
    assert presets.stages(["both"]) == ["bounds"]
    assert presets.stages(["left", "own"]) == ["knn", "assign"]


def test_a_circle_and_an_unknown_base_are_refused(tmp_path):
    path = tmp_path / "presets.yaml"
    path.write_text("a: {describe: x, extends: b}\nb: {describe: x, extends: a}\nc: {describe: x, extends: d}")
    presets = load_presets(path)
    with pytest.raises(UserError, match="preset a: a extends b extends a: a circle"):
        presets.settings(["a"])
    with pytest.raises(UserError, match="preset c: extends d: unknown; allowed: a, b, c"):
        presets.settings(["c"])
