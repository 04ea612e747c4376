"""YAML files of ``conf/`` whose content a model describes."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.settings import Settings
from pipeline_lib.base.yaml_files import first_complaint, read_yaml

Model = TypeVar("Model", bound=Settings)


def load_validated(path: Path, model: type[Model]) -> Model:
    """Read a file and check all of it.

    Args:
        path: The file.
        model: What it has to hold.

    Returns:
        Its content.

    Raises:
        MissingFileError: The file is absent.
        UserError: It is no YAML, a key is unknown or a value is not allowed; the message names it.
    """
    try:
        return model.model_validate(read_yaml(path))
    except ValidationError as error:
        raise UserError(f"{path}: {first_complaint(error)}") from None
