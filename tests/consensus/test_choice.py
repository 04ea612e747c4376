import json

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from pipeline_lib.consensus.choice import average_nmi, choose_by_anmi, normalized_mutual_information
from pipeline_lib.consensus.hypergraph import contingency


@pytest.mark.parametrize("case", ["tiny", "medium"])
def test_average_nmi_equals_the_reference(golden, golden_dir, case):
    reference = golden(f"08_consensus_{case}")
    scores = json.loads((golden_dir / "08_consensus_scores.json").read_text())[case]
    compared = 0
    for name, expected in scores.items():
        labels = reference["out_planted"] if name == "planted" else reference.get(f"out_{name}")
        if labels is None:
            continue
        for mean in ("geometric", "arithmetic"):
            found = average_nmi(labels, reference["in_labels"], mean)
            assert found == pytest.approx(expected[f"anmi_{mean}"], abs=1e-12)
            compared += 1
    assert compared > 40


@pytest.mark.parametrize("mean", ["geometric", "arithmetic"])
def test_nmi_equals_scikit_learn(mean):
    generator = np.random.default_rng(0)
    first, second = generator.integers(5, size=80), generator.integers(7, size=80)
    second[:40] = first[:40]
    expected = normalized_mutual_info_score(first, second, average_method=mean)
    assert normalized_mutual_information(contingency(first, second, 5, 7), mean) == pytest.approx(expected, abs=1e-12)


def test_trivial_labellings():
    assert normalized_mutual_information(np.array([[3, 4]])) == 0.0
    assert normalized_mutual_information(np.array([[7]])) == 1.0
    assert normalized_mutual_information(np.array([[0, 7], [0, 0]])) == 1.0


def test_highest_is_chosen_and_the_first_of_equals():
    assert choose_by_anmi({"a": 0.4, "b": 0.6, "c": 0.5}) == "b"
    assert choose_by_anmi({"a": 0.1, "b": 0.3, "c": 0.1 + 0.2}) == "b"
