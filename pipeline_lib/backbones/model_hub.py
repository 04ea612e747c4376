"""Fetches weight files from the model hub, or says in one line which file to put where."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from pipeline_lib.backbones.settings import BackboneSettings
from pipeline_lib.base.errors import MissingFileError, UserError

_FILES = ("model.safetensors", "pytorch_model.bin")
_SECONDS = 10.0


def hub_file(config: BackboneSettings, pretrained: Mapping[str, Any]) -> Path:
    """Find the weights in the local cache, or download them.

    Args:
        config: The backbone, for its name and model.
        pretrained: timm's facts of the pretrained model.

    Returns:
        Path of the file in the hub's cache.

    Raises:
        UserError: timm knows no weights for this model.
        MissingFileError: The hub cannot be reached or does not give the file.
    """
    repository = pretrained.get("hf_hub_id")
    if not repository:
        raise UserError(
            f"{config.parameter('weights.source')} = hub: timm has no weights on the hub for {config.model}; "
            "use file with weights.path, or none for random weights"
        )
    repository, _, revision = str(repository).partition("@")
    named = pretrained.get("hf_hub_filename")
    files = (str(named),) if named else _FILES
    for file in files:
        cached = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    reason = _unreachable()
    for file in files if reason is None else ():
        try:
            return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision or None))
        except EntryNotFoundError as error:
            reason = str(error)
            if isinstance(error, LocalEntryNotFoundError):
                break
        # The client lets the errors of its HTTP library through, which has changed with its versions.
        except Exception as error:
            reason = str(error) or type(error).__name__
            break
    raise MissingFileError(_what_to_do(config, repository, files[0], pretrained.get("url"), str(reason)))


def _unreachable() -> str | None:
    """Why the hub does not answer, or ``None``; asked first because the client tries again for minutes."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    seconds = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", _SECONDS))
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=seconds).close()
    except urllib.error.HTTPError:
        return None  # It answers.
    except OSError as error:
        return str(getattr(error, "reason", error))
    return None


def _what_to_do(config: BackboneSettings, repository: str, file: str, url: str | None, reason: str) -> str:
    official = f" (or the official {url.rsplit('/', 1)[-1]})" if url else ""
    target = f"weights/{config.name}{Path(file).suffix}"
    return (
        f"{config.parameter('weights')}: cannot get {config.model} from the model hub ({reason.splitlines()[0]}); "
        f"put {file} of the hub's repository {repository}{official} into {target}, "
        f"set {config.parameter('weights.source')} = file and {config.parameter('weights.path')} = {target}"
    )
