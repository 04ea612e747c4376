import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from pipeline_lib.artifacts.classifier import open_classifier, write_classifier
from pipeline_lib.artifacts.dataset import open_dataset
from pipeline_lib.artifacts.dataset_writer import DatasetWriter
from pipeline_lib.base.errors import MissingFileError, UserError
from pipeline_lib.ucls.prediction.names import cluster_names, names_template, read_names

# Clusters of two splits: cluster 0 has 3 images, cluster 1 has 2, cluster 2 none.
CLUSTERS = {"train": [0, 1, 0], "val": [1, 0]}
PROBABILITY = {"train": [0.5, 0.9, 0.7], "val": [0.8, 0.6]}


def written(folder, names=None):
    ids = {split: np.arange(len(values), dtype=np.int64) for split, values in CLUSTERS.items()}
    write_classifier(
        folder,
        state={name: torch.zeros(1) for name in ("mean", "inverse_scale")}
        | {"weight": torch.zeros(3, 1), "bias": torch.zeros(3)},
        backbone={},
        blocks=[("pixels", 1)],
        cluster_names=names,
        scaling="none",
        grid=[{"name": "a"}],
        chosen="a",
        predictions={
            split: [(ids[split], np.int32(CLUSTERS[split]), np.float32(PROBABILITY[split]), np.zeros(len(ids[split])))]
            for split in CLUSTERS
        },
        made_by={"data": "small"},
    )
    return open_classifier(folder)


def dataset(folder, first_id=0):
    with DatasetWriter(folder, None, folder.parent, {}) as writer:
        for split, values in CLUSTERS.items():
            for row in range(len(values)):
                writer.add(first_id + row, split, path=f"{split}/{row}.jpg")
    return open_dataset(folder)


def names_file(tmp_path, text):
    path = tmp_path / "names.yaml"
    path.write_text(text)
    return path


def test_names_are_read_by_cluster(tmp_path):
    path = names_file(tmp_path, "0: cat\n2: 'no: dog'\n1:\n3: 7\n")
    assert read_names(path, 4) == {0: "cat", 2: "no: dog", 3: "7"}
    assert read_names(names_file(tmp_path, "{0: Café , 3: no}"), 4) == {0: "Café", 3: "no"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4: cat", "no cluster 4; the classifier has clusters 0 to 3"),
        ("-1: cat", "no cluster -1;"),
        ("cat: 0", "no cluster 'cat';"),
        ("'0': cat", "no cluster '0';"),
        ("true: cat", "no cluster True;"),
        ("0: cat\n2: dog\n3: cat", "clusters 0 and 3 are both called 'cat'; names must differ"),
        ("0: cat\n0: dog", "not valid YAML: .*duplicate key"),
        ("[cat, dog]", r"expected a mapping such as \{0: cat, 3: dog\}, found list"),
        ("", "expected a mapping .*, found NoneType"),
        ("0: [cat]", r"name of cluster 0: expected a text, found \['cat'\]"),
        ("0: 1.5", "name of cluster 0: expected a text, found 1.5"),
        ("0: ' '", "name of cluster 0: expected one line of text"),
        ('0: "a\\nb"', "name of cluster 0: expected one line of text"),
        ("{0: cat", "not valid YAML"),
    ],
)
def test_what_is_wrong_with_a_names_file_is_said_in_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=rf"names\.yaml: {message}") as caught:
        read_names(names_file(tmp_path, text), 4)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_or_absent_is_refused(tmp_path):
    (tmp_path / "names.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not valid YAML"):
        read_names(tmp_path / "names.yaml", 4)
    with pytest.raises(MissingFileError, match=r"absent\.yaml: no such file"):
        read_names(tmp_path / "absent.yaml", 4)


def test_a_file_wins_over_the_names_of_the_artifact(tmp_path):
    assert cluster_names(written(tmp_path / "without"), None) is None
    artifact = written(tmp_path / "with", ["x", "y", "z"])
    assert cluster_names(artifact, None) == {0: "x", 1: "y", 2: "z"}
    assert cluster_names(artifact, names_file(tmp_path, "1: dog")) == {1: "dog"}


def test_the_template_counts_images_and_lists_the_most_confident_first(tmp_path):
    lines = names_template(written(tmp_path / "c"), dataset(tmp_path / "d")).splitlines()
    assert lines[2:] == [
        "0:   # 3; train/2.jpg; val/1.jpg; train/0.jpg",
        "1:   # 2; train/1.jpg; val/0.jpg",
        "2:   # 0",
    ]


def test_the_template_without_images_has_sizes_alone(tmp_path):
    lines = names_template(written(tmp_path / "c"), None).splitlines()
    assert lines[2:] == ["0:   # 3", "1:   # 2", "2:   # 0"]


def test_the_template_is_a_names_file_and_keeps_names_of_the_artifact(tmp_path):
    path = names_file(tmp_path, names_template(written(tmp_path / "c"), dataset(tmp_path / "d")))
    assert read_names(path, 3) == {}
    assert YAML(typ="safe").load(path) == {0: None, 1: None, 2: None}
    names = ["it's", "a: b # c", "z"]
    path.write_text(names_template(written(tmp_path / "e", names), None))
    assert read_names(path, 3) == dict(enumerate(names))


def test_images_of_another_data_set_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"d: not the images that .*c predicted \(train\)"):
        names_template(written(tmp_path / "c"), dataset(tmp_path / "d", first_id=5))
