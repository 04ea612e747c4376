from pipeline_lib.reports.ucls.details import consensus_details, neighbor_details


def test_neighbour_measures_that_exist_are_told():
    measures = {"mutual_share": 0.5, "neighbors_median": 1234, "oracle_neighbor_accuracy": None, "other": 1}
    told = neighbor_details(measures)
    assert told == [("neighbours of an image, median", "1,234"), ("pairs that are mutual", "50.0%")]


def test_consensus_methods_of_the_split_and_the_chosen_one():
    measures = {
        "chosen": "mcla",
        "train_mcla_anmi": 0.1,
        "val_mcla_anmi": 0.75,
        "val_hgpa_skipped": "too large",
        "val_agreement": 0.9,
    }
    assert consensus_details(measures, "val") == [("mcla, chosen", "0.750"), ("hgpa", "left out: too large")]


def test_the_method_that_a_split_chose_for_itself_is_the_chosen_one_there():
    measures = {"chosen": "mcla", "val_chosen": "cspa", "val_mcla_anmi": 0.75, "val_cspa_anmi": 0.8}
    assert consensus_details(measures, "val") == [("mcla", "0.750"), ("cspa, chosen", "0.800")]
