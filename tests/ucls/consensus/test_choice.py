from pipeline_lib.ucls.consensus.choice import choose_by_anmi


def test_highest_is_chosen_and_the_first_of_equals():
    assert choose_by_anmi({"a": 0.4, "b": 0.6, "c": 0.5}) == "b"
    assert choose_by_anmi({"a": 0.1, "b": 0.3, "c": 0.1 + 0.2}) == "b"
