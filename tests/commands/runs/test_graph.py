"""The stages written out from dvc.yaml."""

from pathlib import Path

import pytest

from commands.runs.graph import MEASURE_STEPS, Graph, Step, read_stages, written_out
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.params.params import load_params

SEGINS = Path("metrics/segins/scenes")
UCLS = Path("metrics/digits-pixels")


@pytest.fixture(scope="module")
def graph(repository):
    return written_out(read_stages(repository), load_params(repository / "params.yaml"))


def stages(steps):
    return [step.stage for step in steps]


def leading_to(graph, folder, *names):
    return graph.leading_to([folder / f"{name}.json" for name in names])


def test_scores_need_the_whole_chain_in_order_and_nothing_before_the_features(graph):
    chain = ["classes", "knn", "train_heads", "assign", "consensus", "self_train", "evaluate"]
    assert stages(leading_to(graph, UCLS, "ucls")) == chain


def test_measures_of_the_neighbours_need_no_training(graph):
    assert stages(leading_to(graph, UCLS, "similarity", "knn")) == ["classes", "knn", "similarity"]
    assert stages(leading_to(graph, UCLS, "cluster_use")) == ["classes", "knn", "train_heads", "assign", "cluster_use"]


def test_a_transfer_needs_what_leads_to_its_start_and_nothing_else(graph):
    found = leading_to(graph, SEGINS, "detection-moco-segins-scenes")
    assert stages(found) == ["scenes", "annotate", "pretrain_baseline", "masks", "pretrain_segins", "detection"]
    assert {step.item["method"] for step in found if "method" in step.item} == {"moco"}
    assert found[-1].item == {"data": "scenes", "start": "moco-segins", "target": "scenes"}
    assert found[-1].inputs == (Path("data/annotated/scenes"), Path("data/checkpoints/scenes/moco-segins"))
    assert found[-1].command == "python -m stages.detection --data scenes --start moco-segins --target scenes"


def test_given_starts_are_not_trained(graph):
    found = leading_to(graph, SEGINS, "linear_eval-random")
    assert stages(found) == ["scenes", "annotate", "given_checkpoint", "linear_eval"]
    assert found[2].item == {"data": "scenes", "given": "random"}


def test_each_step_comes_once_and_after_its_inputs(graph):
    starts = ("simsiam-segins", "moco-segins", "simsiam-baseline")
    found = leading_to(graph, SEGINS, *(f"segmentation-{start}-scenes" for start in starts))
    written: set[Path] = set()
    for step in found:
        assert set(step.inputs) <= written
        assert not written & set(step.outputs)
        written |= set(step.outputs)
    assert stages(found).count("annotate") == 1


def test_the_first_wanted_comes_first():
    steps = [Step(name, {}, "", (), (), {name: Path(name)}, (), ()) for name in ("one", "two")]
    graph = Graph(steps)
    assert stages(graph.leading_to([Path("two"), Path("one"), Path("two")])) == ["two", "one"]
    assert graph.leading_to([]) == []


def test_facts_are_those_of_dvc_yaml_with_names_filled_in(graph, repository):
    found = {step.stage: step for step in leading_to(graph, SEGINS, "linear_eval-moco-segins")}
    assert "datasets.scenes" in found["annotate"].params
    assert "backbones.dinov2_vits14" in found["masks"].params
    assert set(found["pretrain_segins"].params) >= {"pretrain", "segins", "moco"}
    assert Path("stages/masks.py") in found["masks"].code
    knn = leading_to(graph, UCLS, "knn")[-1]
    assert Path("data/datasets/digits") in knn.inputs
    assert Path("data/checks/params.ok") not in knn.inputs
    assert all((repository / path).exists() for path in knn.code)


def test_the_launcher_is_part_of_the_command(repository):
    params = load_params(repository / "params.yaml", {"launcher": "torchrun --nproc-per-node=2"})
    train = leading_to(written_out(read_stages(repository), params), UCLS, "train_heads")[-1]
    assert train.command.startswith("torchrun --nproc-per-node=2 -m stages.train_heads --data digits")


def test_metric_files_are_found_by_their_names_and_those_of_the_run(graph):
    names = {"data": "scenes", "start": "moco-segins", "method": "moco", "target": "scenes"}
    found = {name: graph.metric_file(name, names) for name in ("linear_eval", "detection", "masks", "pretrain_segins")}
    assert found == {
        "linear_eval": SEGINS / "linear_eval-moco-segins.json",
        "detection": SEGINS / "detection-moco-segins-scenes.json",
        "masks": SEGINS / "masks-moco.json",
        "pretrain_segins": SEGINS / "pretrain_segins-moco.json",
    }
    assert graph.metric_file("ucls", {"data": "digits", "backbone": "pixels"}) == UCLS / "ucls.json"
    assert graph.metric_file("linear_eval", names | {"start": "supervised"}) is None
    assert graph.metric_file("pretrain_segins", {"data": "scenes", "start": "random"}) is None


@pytest.mark.parametrize(
    ("measure", "method"),
    [
        ("cluster_use", "pipeline_lib/ucls/evaluation/usage.py"),
        ("similarity", "pipeline_lib/ucls/neighbors/statistics.py"),
    ],
)
def test_the_code_of_a_measure_that_no_stage_writes_is_all_that_it_imports(graph, repository, measure, method):
    step = leading_to(graph, UCLS, measure)[-1]
    own = f"commands/measures/{measure}.py"
    assert {Path(method), Path(own), Path("pipeline_lib/artifacts/folder.py")} <= set(step.code)
    assert all((repository / path).is_file() for path in step.code)
    assert set(MEASURE_STEPS) == {"cluster_use", "data_set", "similarity"}


def test_sizes_of_a_data_set_need_the_data_set_alone(graph):
    path = graph.metric_file("data_set", {"data": "digits"})
    assert path == Path("metrics/digits/data_set.json")
    [step] = graph.leading_to([path])
    assert step.command == "python -m commands.measures.data_set --data digits"
    assert step.inputs == (Path("data/datasets/digits"),)


@pytest.fixture
def written(tmp_path, repository):
    """The steps that a dvc.yaml with some stages stands for."""
    for name in MEASURE_STEPS:
        (tmp_path / "commands/measures").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"commands/measures/{name}.py").touch()

    def of(stages):
        (tmp_path / "dvc.yaml").write_text(f"stages: {{{stages}}}")
        return written_out(read_stages(tmp_path), load_params(repository / "params.yaml"))

    return of


def test_metrics_that_a_stage_reads_are_inputs_and_no_code(written):
    graph = written(
        "report: {cmd: x, matrix: {data: '${suite.data}'}, deps: ['metrics/${item.data}/knn.json',"
        " stages/report.py], metrics: [{'metrics/${item.data}/report.json': {cache: false}}]}"
    )
    [report] = graph.leading_to([Path("metrics/digits/report.json")])
    assert report.code == (Path("stages/report.py"),)
    assert report.inputs == (Path("metrics/digits/knn.json"),)


def test_files_that_no_stage_writes_are_refused(graph):
    for path in ("metrics/digits-pixels/nothing.json", "metrics/segins/scenes/linear_eval-supervised.json"):
        with pytest.raises(UserError, match=r"json: no stage of dvc\.yaml writes it"):
            graph.leading_to([Path(path)])


@pytest.mark.parametrize("values", ["'${knn.index}'", "{a: b}", "[true]", "['${suite.seed}']", "digits"])
def test_a_matrix_of_no_names_is_refused(written, values):
    with pytest.raises(UserError, match=r"stages\.one\.matrix\.data = .*: allowed: a list of params") as caught:
        written(f"one: {{cmd: x, matrix: {{data: {values}}}}}")
    assert "\n" not in str(caught.value)


def test_a_matrix_may_name_no_key_that_is_not_there(written):
    with pytest.raises(UserError, match=r"suite\.date: no key of params"):
        written("one: {cmd: x, matrix: {data: '${suite.date}'}}")


def test_a_matrix_may_list_its_names_itself(written):
    graph = written("one: {cmd: 'x ${item.a} ${item.b}', matrix: {a: [u, v], b: [1]}, outs: ['data/${item.a}']}")
    assert [graph.writer(Path(f"data/{name}")).command for name in ("u", "v")] == ["x u 1", "x v 1"]


def test_paths_may_have_options(written):
    plain = written("one: {cmd: x, deps: [data/in, stages/one.py], outs: [data/out], metrics: [metrics/m.json]}")
    options = written(
        "one: {cmd: x, deps: [{data/in: {}}, stages/one.py], outs: [{data/out: {persist: true}}],"
        " metrics: [{metrics/m.json: {cache: false}}]}"
    )
    for graph in (plain, options):
        step = graph.writer(Path("data/out"))
        assert (step.inputs, step.code) == ((Path("data/in"),), (Path("stages/one.py"),))
        assert step.metrics == {"m": Path("metrics/m.json")}


@pytest.mark.parametrize("entry", ["{a: {}, b: {}}", "[a]", "3"])
def test_what_is_no_path_is_refused(written, entry):
    with pytest.raises(UserError, match=r"stages\.one\.outs\[1\] = .*: allowed: a path"):
        written(f"one: {{cmd: x, outs: [data/out, {entry}]}}")


def test_files_without_stages_and_absent_measures_are_refused(tmp_path):
    (tmp_path / "dvc.yaml").write_text("- a")
    with pytest.raises(UserError, match=r"dvc\.yaml: expected stages by name"):
        read_stages(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    with pytest.raises(MissingFileError, match=r"commands/measures/cluster_use\.py: not found"):
        read_stages(tmp_path)
