"""A toy repository: the real dvc.yaml and params.yaml, with stages that only count and copy."""

import json
import shutil
from pathlib import Path

import pytest

from commands.runs.execution import Execution
from commands.runs.plan import Choice, planned_parts
from commands.runs.runs import Runs
from pipeline_lib.experiments.definitions import Definitions
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import Preset, Presets

REPOSITORY = Path(__file__).resolve().parents[3]
TOY = Path(__file__).with_name("toy.py")
PRESETS = Presets({"five": Preset(describe="", settings={"segins.lambda": 5.0, "segins_suite.data": ["voc2007"]})})


class Labels:
    """A data set with labels."""

    def __init__(self, folder):
        self.folder = folder

    def oracle_labels(self, split):
        return None if (self.folder / "unlabelled").exists() else split


class Toy:
    """The toy repository.

    Attributes:
        folder: Its root.
        scratch: Where runs lie.
    """

    def __init__(self, folder):
        self.folder, self.scratch = folder, folder / "scratch"
        for name in ("pipeline_lib", "params.yaml", "dvc.yaml"):
            (folder / name).symlink_to(REPOSITORY / name)
        for place in ("commands", "commands/measures", "stages"):
            for path in (REPOSITORY / place).glob("*.py"):
                text = f"import toy\n\ntoy.run({path.stem!r})\n" if not path.name.startswith("_") else ""
                (folder / place).mkdir(parents=True, exist_ok=True)
                (folder / place / path.name).write_text(text)
        shutil.copy(TOY, folder / "toy.py")
        self.give("datasets/digits", {})
        self.give("features/digits-pixels", {"default_blocks": ["pixels"]})

    def give(self, artifact, meta):
        """Put an artifact into the workspace."""
        path = self.folder / "data" / artifact / "meta.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(meta))

    def tell(self, **what):
        """Tell the stages what to refuse (by a message), at which to break and at which to wait."""
        (self.folder / "told.json").write_text(json.dumps(what))

    def calls(self):
        """Stages that were started since the last call."""
        path = self.folder / "calls.txt"
        found = path.read_text().split() if path.is_file() else []
        path.unlink(missing_ok=True)
        return found

    def runs(self):
        return Runs(self.folder, self.scratch)

    def values(self, *files, **changes):
        """Values of metric files under ``metrics/``, with changes to params.yaml (``__`` for the dot)."""
        params = load_params(changes={key.replace("__", "."): value for key, value in changes.items()})
        return self.runs().values([Path("metrics") / f"{name}.json" for name in files], params)[0]

    def execution(self, sets, **choice):
        """Plan one of some sets, given as in conf/experiments.yaml."""
        definitions = Definitions.model_validate(sets)
        chosen = Choice(**{"name": next(iter(definitions.sets)), **choice})
        return Execution(chosen, planned_parts(definitions, PRESETS, chosen), definitions, self.runs())


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("commands.runs.execution.open_dataset", Labels)
    return Toy(tmp_path)
