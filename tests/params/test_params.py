import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.images.sources.voc_splits import VocOptions
from pipeline_lib.params.params import load_params

TEXT = (Path(__file__).resolve().parents[2] / "params.yaml").read_text()


def loaded(tmp_path: Path, old: str = "", new: str = ""):
    assert old in TEXT
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    return load_params(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  threshold: auto",
            "  threshold: 1.5 #",
            r"knn\.threshold = 1\.5: allowed: 'auto' or less than or equal to 1",
        ),
        ("  threshold:", "  treshold: 0.3\n  threshold:", r"knn\.treshold = 0\.3: unknown key; did you mean threshold"),
        ("data: [digits]", "data: [nope]", r"suite\.data = \['nope'\]: 'nope' is not one of digits, cifar10"),
        ("backbone: [pixels]", "backbone: [vit]", r"suite\.backbone = \['vit'\]: .* efficientnet_lite0"),
        ("loss: temi", "loss: tem", r"train_heads\.loss = 'tem': allowed: 'temi' or 'scan'"),
        ("k_min: auto", "k_min: 0", r"knn\.k_min = 0: allowed: 'auto' or greater than or equal to 1"),
        ("epochs: null", "epochs: 1.5", r"train_heads\.epochs = 1\.5: allowed: a valid integer"),
        ("classes: 10}", "classes: 1}", r"datasets\.digits\.classes = 1: allowed: 'auto' or greater than or"),
        ("  max: auto   ", "  max: 1   ", r"classes\.max = 1: allowed: 'auto' or greater than or equal to 2"),
        ("methods: [cspa, hgpa, mcla, vote]", "methods: [vote, vote]", r"consensus: methods = .* twice"),
        ("source: digits", "source: digitz", r"datasets\.digits\.source = 'digitz': allowed: 'digits', 'cifar10'"),
        (
            "  workers: auto",
            "  workers: -1   ",
            r"machine\.workers = -1: allowed: 'auto' or greater than or equal to 0",
        ),
        ("    steps: 1000", "    steps: -1", r"bounds\.turtle\.steps = -1: allowed: greater"),
        ("    steps: 1000", "    inner_steps: 0\n    steps: 1", r"bounds\.turtle\.inner_steps = 0: allowed: greater"),
        ("    run: true ", "    neighbors: 1 ", r"bounds\.umap\.neighbors = 1: allowed: greater"),
        ("    run: true ", "    min_distance: 1.5 ", r"bounds\.umap\.min_distance = 1\.5: allowed: less"),
        ("    steps: 1000", "    step: 1000", r"bounds\.turtle\.step = 1000: unknown key; did you mean steps"),
        (
            "weights: {source: none}",
            "weights: {source: file}",
            r"backbones\.pixels\.weights: source = 'file' needs path",
        ),
        (
            "  lambda:",
            "  lamda:",
            r"segins\.lamda = .*: unknown key; did you mean lambda\? allowed: lambda, loss, stage$",
        ),
        ("  lambda:", "  weight: 3\n  lambda:", r"segins\.weight = 3: unknown key; allowed: lambda, loss, stage$"),
        ("launcher: python", "launchers: python", r"launchers = 'python': unknown key; did you mean launcher"),
        ("balance: 1.0 ", "balance: 1.5 #", r"train_heads\.balance = 1\.5: allowed: less than or equal to 1"),
        (
            "input: batch_norm",
            "input: yes",
            r"train_heads\.input = 'yes': allowed: 'none', 'standardise' or 'batch_norm'",
        ),
        (
            "input: batch_norm",
            "batch_norm: true",
            r"train_heads\.batch_norm = True: unknown key; did you mean input\? allowed: alignment, ",
        ),
        ("final_learning_rate: 0.0", "final_learning_rate: 3.0", r"train_heads: final_learning_rate must be at most"),
    ],
)
def test_refused_in_one_line_that_names_key_value_and_what_is_allowed(tmp_path, old, new, message):
    with pytest.raises(UserError, match=message) as caught:
        loaded(tmp_path, old, new)
    assert "\n" not in str(caught.value)


def test_k_max_below_k_min_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("k_min: auto", "k_min: 9").replace("k_max: auto", "k_max: 3"))
    with pytest.raises(UserError, match="k_max must be at least k_min = 9"):
        load_params(path)


def test_a_largest_number_of_classes_below_the_least_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("  min: 2", "  min: 9").replace("  max: auto   ", "  max: 5   "))
    with pytest.raises(UserError, match="classes: max = 5: must be at least min = 9"):
        load_params(path)


def test_the_number_of_classes_is_a_number_or_auto(tmp_path):
    assert loaded(tmp_path, "classes: 10}", "classes: auto}").datasets["digits"].classes == "auto"
    with pytest.raises(UserError, match=r"datasets\.digits\.classes = 'some': allowed: 'auto' or a valid integer"):
        loaded(tmp_path, "classes: 10}", "classes: some}")


def test_a_class_prior_without_sinkhorn_knopp_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    for changes in ({"train_heads.class_prior": "estimated"}, {"train_heads.balance": 0.5}):
        load_params(path, changes)
        with pytest.raises(UserError, match=r"train_heads: class_prior = .* sinkhorn_iterations must be at least 1"):
            load_params(path, changes | {"train_heads.sinkhorn_iterations": 0})


def test_exponents_are_numbers_as_in_yaml_1_2(tmp_path):
    assert loaded(tmp_path, "learning_rate: 0.001", "learning_rate: 1e-05").train_heads.learning_rate == 1e-5


def test_changes_take_the_place_of_values_and_are_checked(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    changed = load_params(path, {"knn.threshold": 0.25, "suite.data": ["digits", "cifar10"]})
    assert (changed.knn.threshold, changed.suite.data) == (0.25, ("digits", "cifar10"))
    assert changed.train_heads == load_params(path).train_heads
    with pytest.raises(UserError, match=r"knn\.treshold = 1: unknown key"):
        load_params(path, {"knn.treshold": 1})
    with pytest.raises(UserError, match=r"knnn = .*unknown key; did you mean knn\?"):
        load_params(path, {"knnn.threshold": 1})
    with pytest.raises(UserError, match=r"knn\.threshold\.x: threshold is a value, not a section"):
        load_params(path, {"knn.threshold.x": 1})


def test_true_neighbours_train_as_long_as_they_are_told_or_as_the_heads(tmp_path):
    assert loaded(tmp_path).bounds.true_neighbor_training() == {"heads": 4, "epochs": None, "iterations": 500}
    as_heads = loaded(tmp_path, "true_neighbor_iterations: 500", "true_neighbor_iterations: null")
    assert as_heads.bounds.true_neighbor_training() == {"heads": 4}


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(MissingFileError, match=r"params\.yaml: not found"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1")
    with pytest.raises(UserError, match="not valid YAML"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match="expected sections"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("override", ['launcher="torchrun --standalone --nproc-per-node=2"'])
def test_the_readme_gives_the_launcher_as_dvc_parses_it(override):
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    assert f"-S '{override}'" in readme
    assert OverridesParser.create().parse_override(override).value() == "torchrun --standalone --nproc-per-node=2"


def test_voc_options_reach_the_reader_and_are_recorded_for_voc_alone(repository: Path) -> None:
    datasets = load_params(repository / "params.yaml").datasets
    assert datasets["voc0712"].reading()["voc"] == VocOptions((2007, 2012), "detection", "test")
    assert datasets["voc0712"].recorded() == {
        "source": "voc",
        "subset": None,
        "labels": "auto",
        "years": (2007, 2012),
        "task": "detection",
        "evaluate_on": "test",
    }
    assert datasets["digits"].recorded() == {"source": "digits", "subset": None, "labels": "auto"}
    with pytest.raises(UserError, match=r"datasets.voc2007.task = 'depth': allowed"):
        load_params(repository / "params.yaml", {"datasets.voc2007.task": "depth"})


def test_parameters_load_without_the_libraries_that_the_methods_need():
    heavy = ["torch", "torchvision", "timm", "faiss", "sklearn", "pymetis", "matplotlib"]
    program = f"import sys, pipeline_lib.params.params; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_values_that_params_yaml_leaves_out_can_be_set(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    assert "  kmeans_restarts:" not in TEXT
    assert load_params(path).bounds.kmeans_restarts == 10
    assert load_params(path, {"bounds.kmeans_restarts": 3}).bounds.kmeans_restarts == 3


def test_backbones_know_their_keys(repository: Path) -> None:
    backbones = load_params(repository / "params.yaml").backbones
    assert backbones["pixels"].parameter("image_size") == "backbones.pixels.image_size"
    with pytest.raises(UserError, match=r"backbones\.pixels\.name = 'x': the key is the name; leave it out"):
        load_params(repository / "params.yaml", {"backbones.pixels.name": "x"})


def test_workers_and_threads_follow_the_cores(monkeypatch):
    machine = load_params(changes={"machine.workers": "auto", "machine.threads": "auto"}).machine
    for cores, workers in ((1, 1), (2, 1), (16, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert (machine.worker_count, machine.thread_count) == (workers, cores)
    fixed = machine.model_copy(update={"workers": 0, "threads": 3})
    assert (fixed.worker_count, fixed.thread_count) == (0, 3)
