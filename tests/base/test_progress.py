import io
import sys

import pytest

from pipeline_lib.base.progress import Progress, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    bar = progress(range(3), "heads")
    assert list(bar) == [0, 1, 2]
    return stream.getvalue()


@pytest.fixture
def no_ci(monkeypatch):
    for name in ("CI", "RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_ci")
def test_a_bar_shows_on_a_terminal(monkeypatch):
    assert "heads" in shown(monkeypatch, Terminal())


@pytest.mark.usefixtures("no_ci")
def test_a_bar_is_quiet_in_a_log_file(monkeypatch):
    assert shown(monkeypatch, io.StringIO()) == ""


@pytest.mark.usefixtures("no_ci")
@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("RANK", "1")])
def test_a_bar_is_quiet_in_ci_and_in_other_processes(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert shown(monkeypatch, Terminal()) == ""


def test_progress_gives_the_time_left_from_the_runs_that_were_made(capsys):
    progress = Progress("ladder digits-pixels", 4)
    progress.tell("TEMI, seed 0", "ACC 50.00", 0.0)
    progress.tell("TEMI, seed 1", "ACC 51.23", 100.0)
    progress.skip(1, "+ Feat: does not apply")
    progress.tell("+ BN, seed 1", "", 10.0)
    shared = Progress("suite", 4)
    for seconds in (100.0, 0.0):
        shared.tell("row", "", seconds)
    assert capsys.readouterr().out.splitlines() == [
        "ladder digits-pixels 1/4: TEMI, seed 0: ACC 50.00 [there already]",
        "ladder digits-pixels 2/4: TEMI, seed 1: ACC 51.23 [100 s; about 3 min left]",
        "ladder digits-pixels 3/4: + Feat: does not apply",
        "ladder digits-pixels 4/4: + BN, seed 1 [10 s]",
        "suite 1/4: row [100 s; about 5 min left]",
        "suite 2/4: row [there already; about 2 min left]",
    ]
