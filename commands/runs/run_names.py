"""What rows are run on: data sets with backbones or targets, and the settings that go with each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pipeline_lib.base.errors import UserError
from pipeline_lib.base.yaml_files import unknown_name
from pipeline_lib.experiments.rows import Conditions
from pipeline_lib.params.params import load_params

Chosen = tuple[str, str, str, dict[str, Any]]
"""Data set, backbone, target, and all changes to ``params.yaml`` with the names of the suites."""

SettingsOn = Callable[[str], dict[str, Any]]
"""Settings for a data set; without one, those that do not depend on it."""


def runs_on_features(bound: Conditions, settings_on: SettingsOn) -> Iterator[Chosen]:
    """Pairs of data set and backbone, with their settings.

    Args:
        bound: What is bound to the rows; what is empty is what ``params.yaml`` names.
        settings_on: Settings for a data set.

    Yields:
        The runs.

    Raises:
        UserError: A name is unknown, or there are not as many backbones as data sets.
    """
    plain = load_params(changes=settings_on(""))
    sets = bound.data or plain.suite.data
    _check_known("--data", sets, plain.datasets)
    for position, data in enumerate(sets):
        settings = settings_on(data)
        backbones = bound.backbone or load_params(changes=settings).suite.backbone
        _check_known("--backbone", backbones, plain.backbones)
        if len(backbones) not in (1, len(sets)):
            several = f"one, or one for each of the {len(sets)} data sets"
            raise UserError(f"--backbone {','.join(backbones)}: allowed: {several}")
        backbone = backbones[0 if len(backbones) == 1 else position]
        yield data, backbone, "", settings | {"suite.data": [data], "suite.backbone": [backbone]}


def runs_on_data_sets(bound: Conditions, settings_on: SettingsOn) -> Iterator[Chosen]:
    """Data sets, with their settings.

    Args:
        bound: What is bound to the rows; what is empty is what ``params.yaml`` names.
        settings_on: Settings for a data set.

    Yields:
        The runs.

    Raises:
        UserError: A name is unknown.
    """
    plain = load_params(changes=settings_on(""))
    sets = bound.data or plain.suite.data
    _check_known("--data", sets, plain.datasets)
    for data in sets:
        yield data, "", "", settings_on(data) | {"suite.data": [data]}


def runs_of_starts(bound: Conditions, settings_on: SettingsOn, *, stay: bool) -> Iterator[Chosen]:
    """Data sets of the pretraining with the one that is transferred to, and their settings.

    Args:
        bound: What is bound to the rows; what is empty is what ``params.yaml`` names.
        settings_on: Settings for a data set.
        stay: Whether each is transferred to itself where no target is bound.

    Yields:
        The runs.

    Raises:
        UserError: A name is unknown.
    """
    plain = load_params(changes=settings_on(""))
    for data in bound.data or plain.segins_suite.data[:1]:
        _check_known("--data", [data], plain.datasets)
        settings = settings_on(data)
        suite = load_params(changes=settings).segins_suite
        target = bound.target or (data if stay else suite.target[0])
        _check_known("--target", [target], plain.datasets)
        names = {
            "segins_suite.data": [data],
            "segins_suite.target": [target],
            "segins_suite.sets": list(dict.fromkeys([data, target])),
            "segins_suite.start": [*suite.given, *suite.pretrained()],
        }
        yield data, "", target, settings | names


def _check_known(option: str, names: Iterable[str], known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise UserError(f"{option} {name}: {unknown_name(name, known)}")
