from pathlib import Path

import pytest
from commands.runs.stage_graph import EXTRA_STAGES, StageFacts, StageGraph, read_stage_graph

from pipeline_lib.base.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def graph():
    return read_stage_graph(ROOT / "dvc.yaml")


def names(stages):
    return [stage.name for stage in stages]


def test_the_final_figures_need_the_whole_chain_in_order_and_nothing_before_the_features(graph):
    chain = names(graph.leading_to(["ucls"]))
    assert chain == ["classes", "knn", "train_heads", "assign", "consensus", "self_train", "evaluate"]


def test_figures_of_the_neighbours_need_no_training(graph):
    assert names(graph.leading_to(["similarity", "knn"])) == ["classes", "knn", "similarity"]
    assert names(graph.leading_to(["cluster_use"])) == [
        "classes",
        "knn",
        "train_heads",
        "assign",
        "cluster_use",
    ]


def test_facts_are_those_of_dvc_yaml(graph):
    knn = graph.leading_to(["knn"])[-1]
    assert (knn.inputs, knn.outputs, knn.metrics) == (("datasets", "classes", "features"), ("neighbors",), ("knn",))
    assert knn.params == ("knn", "features")
    assert Path("stages/knn.py") in knn.code
    assert all((ROOT / path).exists() for path in knn.code)


@pytest.mark.parametrize(
    ("measure", "method"),
    [
        ("cluster_use", "pipeline_lib/ucls/evaluation/usage.py"),
        ("similarity", "pipeline_lib/ucls/neighbors/statistics.py"),
    ],
)
def test_the_code_of_an_extra_measure_is_all_that_it_imports(graph, measure, method):
    code = graph.leading_to([measure])[-1].code
    own = f"commands/measures/{measure}.py"
    assert {Path(method), Path(own), Path("pipeline_lib/artifacts/folder.py")} <= set(code)
    assert all((ROOT / path).is_file() for path in code)
    assert set(EXTRA_STAGES) == {"cluster_use", "similarity"}


def test_metrics_that_a_stage_reads_are_no_code(tmp_path):
    (tmp_path / "dvc.yaml").write_text(
        "stages: {report: {deps: ['metrics/${item.data}/knn.json', stages/report.py],"
        " metrics: [{'metrics/${item.data}/report.json': {cache: false}}]}}"
    )
    for measure in EXTRA_STAGES:
        (tmp_path / "commands" / "measures").mkdir(parents=True, exist_ok=True)
        (tmp_path / "commands" / "measures" / f"{measure}.py").touch()
    [report] = read_stage_graph(tmp_path / "dvc.yaml").leading_to(["report"])
    assert report.code == (Path("stages/report.py"),)


def test_a_stage_that_joins_dvc_yaml_is_found_by_its_metrics(graph):
    bounds = StageFacts("bounds", ("datasets", "features", "neighbors"), (), ("bounds",), (), ())
    before = graph.leading_to(["knn"])
    assert names(StageGraph([bounds, *before]).leading_to(["bounds"])) == ["classes", "knn", "bounds"]


def test_metrics_that_no_stage_writes_are_refused(graph):
    with pytest.raises(UserError, match=r"metrics nothing\.json: no stage of dvc\.yaml writes it; allowed: .*ucls"):
        graph.leading_to(["nothing"])
