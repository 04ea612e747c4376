"""Run the pipeline with a preset: ``python -m commands.preset thesis-cifar10``."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import read_yaml
from pipeline_lib.params.overrides import as_override, parsed_settings
from pipeline_lib.params.params import load_params
from pipeline_lib.params.presets import Presets, load_presets
from stages._context import one_line_errors


def listed(presets: Presets) -> str:
    """All presets with what they are, a line each."""
    width = max(len(name) for name in presets.by_name)
    return "\n".join(f"{name:<{width}}  {preset.describe}" for name, preset in presets.by_name.items())


def command(names: list[str], settings: list[str], others: list[str]) -> list[str]:
    """``dvc exp run`` with the settings of the presets, each checked.

    Args:
        names: Presets, applied in this order.
        settings: Further settings, ``key=value``; they win.
        others: Arguments for ``dvc exp run`` itself.

    Returns:
        The command; where the presets name stages, for these and all that leads to them.

    Raises:
        UserError: A name or a setting is not known or not possible.
    """
    presets = load_presets()
    values = presets.settings(names) | parsed_settings(settings)
    load_params(changes=values)
    listed = read_yaml(Path("params.yaml"))
    overrides = [argument for key, value in values.items() for argument in ("-S", as_override(key, value, listed))]
    return [sys.executable, "-m", "dvc", "exp", "run", *overrides, *others, *presets.stages(names)]


def dvc_arguments(text: str) -> list[str]:
    """Arguments for ``dvc exp run`` as a shell would split them.

    Raises:
        UserError: A quotation does not end.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"--dvc {text!r}: {error}; allowed: arguments as in a shell") from None


def main() -> int:
    """Run or print the command, or list the presets."""
    parser = argparse.ArgumentParser(prog="python -m commands.preset", description="Run the pipeline with a preset.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="presets, a later one wins; none: list them")
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="wins over them")
    parser.add_argument("--print", "--dry", dest="only_print", action="store_true", help="print the command only")
    parser.add_argument("--dvc", default="", metavar="ARGUMENTS", help='for dvc exp run, as in --dvc="--queue"')
    arguments = parser.parse_args()
    if not arguments.names:
        print(listed(load_presets()))
        return 0
    line = command(arguments.names, arguments.settings, dvc_arguments(arguments.dvc))
    if arguments.only_print:
        print(shlex.join(["dvc", *line[3:]]))
        return 0
    return subprocess.run(line, check=False).returncode


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
