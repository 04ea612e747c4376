"""Names of clusters: a small YAML file that the user writes, and a template to write it from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline_lib.artifacts.classifier import Classifier
from pipeline_lib.artifacts.dataset import Dataset
from pipeline_lib.base.errors import MissingFileError, UserError

EXAMPLES = 3
"""Images that the template gives as examples of a cluster."""


def cluster_names(artifact: Classifier, file: Path | None) -> dict[int, str] | None:
    """Names to show with predictions.

    Args:
        artifact: The classifier.
        file: File with names; None takes those that the artifact holds, if any.

    Returns:
        Names by cluster number, maybe not of all clusters; None where there are none at all.

    Raises:
        MissingFileError: ``file`` is absent.
        UserError: ``file`` is not as ``read_names`` wants it.
    """
    if file is not None:
        return read_names(file, artifact.classes)
    return None if artifact.cluster_names is None else dict(enumerate(artifact.cluster_names))


def read_names(path: Path, classes: int) -> dict[int, str]:
    """Read a YAML file such as ``{0: cat, 3: dog}``.

    Args:
        path: The file. Clusters that it leaves out, or leaves empty, have no name.
        classes: Number of clusters C.

    Returns:
        Names by cluster number.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is no YAML mapping from numbers 0 to C - 1 to distinct names.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; `python -m pipeline_lib names` writes one to fill in")
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a mapping such as {{0: cat, 3: dog}}, found {type(content).__name__}")
    names: dict[int, str] = {}
    for cluster, value in content.items():
        name = _checked(path, cluster, value, classes)
        if name in names.values():
            first = next(number for number, other in names.items() if other == name)
            raise UserError(f"{path}: clusters {first} and {cluster} are both called {name!r}; names must differ")
        if name is not None:
            names[cluster] = name
    return names


def _checked(path: Path, cluster: Any, value: Any, classes: int) -> str | None:
    """The name of one cluster; None where its place is empty."""
    if isinstance(cluster, bool) or not isinstance(cluster, int) or not 0 <= cluster < classes:
        raise UserError(f"{path}: no cluster {cluster!r}; the classifier has clusters 0 to {classes - 1}")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(f"{path}: name of cluster {cluster}: expected a text, found {value!r}; put it in quotes")
    name = str(value).strip()
    if not name or not name.isprintable():
        raise UserError(f"{path}: name of cluster {cluster}: expected one line of text, found {value!r}")
    return name


def names_template(artifact: Classifier, dataset: Dataset | None) -> str:
    """A names file to fill in: a line for each cluster, with its size and its most confident images as a comment.

    Args:
        artifact: The classifier; its predictions of all splits are counted.
        dataset: The images that it predicted, to name examples; None leaves them out.

    Returns:
        YAML that ``read_names`` accepts.

    Raises:
        UserError: ``dataset`` holds other images than those predicted.
    """
    given = dict(enumerate(artifact.cluster_names or ()))
    sizes = np.zeros(artifact.classes, dtype=np.int64)
    best: dict[int, list[tuple[float, str]]] = {cluster: [] for cluster in range(artifact.classes)}
    for split in artifact.splits:
        predictions = artifact.predictions(split)
        sizes += np.bincount(predictions.clusters, minlength=artifact.classes)
        if dataset is None:
            continue
        if split not in dataset.splits or not np.array_equal(dataset.ids(split), predictions.ids):
            raise UserError(f"{dataset.folder}: not the images that {artifact.folder} predicted ({split})")
        for cluster in best:
            members = np.flatnonzero(predictions.clusters == cluster)
            first = members[np.argsort(-predictions.probability[members], kind="stable")[:EXAMPLES]]
            best[cluster] += [(float(predictions.probability[row]), dataset.name(split, int(row))) for row in first]
    lines = [
        f"# Names of the {artifact.classes} clusters; what is left empty has no name.",
        "# cluster: name  # images, then the most confident of them" if dataset else "# cluster: name  # images",
    ]
    for cluster, examples in best.items():
        surest = [name for _, name in sorted(examples, key=lambda pair: -pair[0])[:EXAMPLES]]
        comment = "; ".join([str(sizes[cluster]), *map(_printable, surest)])
        lines.append(f"{cluster}: {_quoted(given, cluster)}  # {comment}")
    return "\n".join(lines) + "\n"


def _quoted(names: Mapping[int, str], cluster: int) -> str:
    return "" if cluster not in names else "'" + names[cluster].replace("'", "''") + "'"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
