from commands.runs.progress import Progress


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
