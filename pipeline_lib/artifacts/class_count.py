"""The number of classes that later stages work with: given in params.yaml, or chosen with the scores of candidates.

``classes.json`` has ``classes``, ``given``, and the lists ``candidates``, ``scores`` and ``spread``, which are empty
where the number was given.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_lib.artifacts.folder import new_folder, read_meta, write_json, write_meta
from pipeline_lib.base.errors import UserError

KIND = "class_count"
SCHEMA = 1
FILE = "classes.json"


@dataclass(frozen=True)
class ClassCount:
    """An opened artifact.

    Attributes:
        classes: Number of classes K, at least 2.
        given: Whether it stood in params.yaml.
        candidates: Numbers that were compared, rising; none where K was given.
        scores: Score of each candidate; the highest is best.
        spread: Standard deviation of each score over the restarts.
    """

    classes: int
    given: bool
    candidates: tuple[int, ...]
    scores: tuple[float, ...]
    spread: tuple[float, ...]


def write_class_count(
    folder: Path,
    *,
    classes: int,
    candidates: Sequence[int] = (),
    scores: Sequence[float] = (),
    spread: Sequence[float] = (),
    made_by: Mapping[str, Any],
) -> None:
    """Write the artifact.

    Args:
        folder: Target folder.
        classes: Number of classes K.
        candidates: Numbers that were compared; none where K was given.
        scores: Score of each candidate.
        spread: Standard deviation of each score.
        made_by: Stage, parameters and seed.

    Raises:
        UserError: K is below 2 or not among the candidates, the lists differ in length, or a score is not finite.
    """
    if classes < 2 or (candidates and classes not in candidates):
        raise UserError(f"classes = {classes}: at least 2 and one of the candidates {list(candidates)} is needed")
    if not len(candidates) == len(scores) == len(spread) or not all(map(math.isfinite, (*scores, *spread))):
        raise UserError(f"scores of {len(candidates)} candidates: one finite score and spread for each is needed")
    content = {
        "classes": classes,
        "given": not candidates,
        "candidates": list(candidates),
        "scores": list(scores),
        "spread": list(spread),
    }
    with new_folder(folder) as temporary:
        write_json(temporary / FILE, content)
        write_meta(temporary, KIND, SCHEMA, made_by, {})


def open_class_count(folder: Path) -> ClassCount:
    """Open the artifact.

    Raises:
        MissingFileError: There is none in ``folder``.
        UserError: It is another artifact, of another version, or damaged.
    """
    read_meta(folder, KIND, SCHEMA)
    try:
        content = json.loads((folder / FILE).read_text())
        lists = {name: tuple(content[name]) for name in ("candidates", "scores", "spread")}
        return ClassCount(classes=int(content["classes"]), given=bool(content["given"]), **lists)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / FILE}: not readable ({error!r}); run the stage again") from None
