"""Parameters of one row with one seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commands.runs.graph import value_of
from commands.runs.plan import PlannedRow, PlannedRun
from pipeline_lib.base.errors import UserError
from pipeline_lib.params.params import Params, load_params

_SUITES = ("suite", "segins_suite")


def row_params(run: PlannedRun, planned: PlannedRow, seed: int | None = None) -> Params:
    """Parameters of a row.

    Args:
        run: What it is run on.
        planned: The row.
        seed: The seed; ``None``: that of ``params.yaml``.

    Returns:
        The parameters: of the run, the row's presets, those given one by one, the row's own; the later win.

    Raises:
        UserError: A setting is unknown or not possible.
    """
    changes = _start(run, planned)
    if planned.own:
        changes |= scaled(planned.own, load_params(changes=changes))
    return load_params(changes=changes | ({} if seed is None else seeded(seed)))


def row_settings(run: PlannedRun, planned: PlannedRow) -> dict[str, Any]:
    """All that differs from ``params.yaml`` in a row; ``{times: x}`` is left as it is."""
    return _start(run, planned) | dict(planned.own)


def _start(run: PlannedRun, planned: PlannedRow) -> dict[str, Any]:
    # A preset of a row says how to run it, not what on.
    return {**run.settings, **without_suites(planned.below), **run.single}


def without_suites(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that do not say what is run on."""
    return {key: value for key, value in settings.items() if key.split(".")[0] not in _SUITES}


def seeded(seed: int) -> dict[str, int]:
    """The seed of both chains; what makes the images keeps its own, and what draws nothing does not ask for one."""
    return {"suite.seed": seed, "segins_suite.seed": seed}


def scaled(settings: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Replace each ``{times: x}`` by that many times the current value.

    Args:
        settings: Values by dotted key.
        params: What is set without them.

    Returns:
        Plain values; a whole number stays one (rounded), and null stays null.

    Raises:
        UserError: There is nothing to multiply.
    """
    plain: dict[str, Any] = {}
    tree = params.model_dump(by_alias=True)
    for key, value in settings.items():
        if not isinstance(value, dict):
            plain[key] = value
            continue
        if set(value) != {"times"} or not isinstance(value["times"], int | float):
            raise UserError(f"{key} = {value}: allowed: a value, or times: a number")
        old = value_of(tree, key)
        if old is not None and (isinstance(old, bool) or not isinstance(old, int | float)):
            raise UserError(f"{key} = {old!r}: cannot be multiplied by {value['times']}")
        product = None if old is None else old * value["times"]
        plain[key] = round(product) if isinstance(old, int) and product is not None else product
    return plain
