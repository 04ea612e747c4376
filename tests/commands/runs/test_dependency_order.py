from commands.runs.dependency_order import in_dependency_order

NEEDS = {"report": ["scores", "heads"], "scores": ["heads"], "heads": ["features"], "features": [], "other": []}


def order(*wanted):
    return in_dependency_order(wanted, lambda name: NEEDS[name])


def test_each_comes_once_and_after_what_it_needs():
    found = order("report", "scores")
    assert sorted(found) == ["features", "heads", "report", "scores"]
    for name in found:
        assert all(found.index(needed) < found.index(name) for needed in NEEDS[name])


def test_nothing_else_is_taken_and_the_first_wanted_comes_first():
    assert order("heads", "other") == ["features", "heads", "other"]
    assert order("other", "heads") == ["other", "features", "heads"]
    assert order() == []
