import json

import numpy as np
import pytest
from pydantic import ValidationError

from benchmarks.planted import planted_ensemble
from pipeline_lib.base.contingency import average_nmi
from pipeline_lib.base.errors import UserError
from pipeline_lib.ucls.consensus import ensemble_methods
from pipeline_lib.ucls.consensus.ensemble import build_consensus
from pipeline_lib.ucls.consensus.methods import DEFAULT_METHODS
from pipeline_lib.ucls.consensus.settings import ConsensusSettings

SAMPLED = ConsensusSettings(cspa_exact_limit=0)


@pytest.mark.parametrize("case", ["tiny", "medium"])
@pytest.mark.parametrize("settings", [ConsensusSettings(), SAMPLED], ids=["exact", "sampled"])
def test_quality_is_at_least_the_peers(golden, golden_dir, accuracy, case, settings):
    reference = golden(f"08_consensus_{case}")
    assignments, planted = reference["in_labels"], reference["out_planted"]
    scores = json.loads((golden_dir / "08_consensus_scores.json").read_text())[case]
    result = build_consensus(assignments, int(reference["in_k"]), settings=settings)
    for method in ("cspa", "mcla", "hgpa"):
        of_peer = [row for name, row in scores.items() if name.startswith(f"gg_{method}_r")]
        pick = min if method == "hgpa" else max
        labels = result.methods[method].labels
        anmi = pick(row["anmi_geometric"] for row in of_peer)
        assert average_nmi(labels, assignments) >= anmi - 0.01
        assert accuracy(labels, planted) >= pick(row["acc_planted"] for row in of_peer) - 0.03
    # The choice is by ANMI, which does not measure correctness.
    assert average_nmi(result.labels, assignments) >= scores["gg_best_r0"]["anmi_geometric"] - 0.01


@pytest.mark.parametrize("settings", [ConsensusSettings(), SAMPLED], ids=["exact", "sampled"])
@pytest.mark.parametrize("imbalance", [1.0, 20.0])
def test_numbering_of_clusters_changes_nothing(renumbered, settings, imbalance):
    assignments, _ = planted_ensemble(600, 12, 6, confused=0.2, imbalance=imbalance, seed=1)
    first = build_consensus(assignments, 6, settings=settings)
    second = build_consensus(renumbered(assignments, 2), 6, settings=settings)
    assert first.chosen == second.chosen
    np.testing.assert_array_equal(first.agreement, second.agreement)
    for method in DEFAULT_METHODS:
        np.testing.assert_array_equal(first.methods[method].labels, second.methods[method].labels)


@pytest.mark.parametrize("classes", [5, 9], ids=["as many classes", "more classes than clusters"])
def test_equal_heads_give_their_partition_back(renumbered, same_partition, classes):
    planted = np.random.default_rng(3).permutation(np.repeat(np.arange(5), [200, 20, 60, 100, 40]))
    result = build_consensus(renumbered(np.stack([planted] * 8), 4), classes)
    assert same_partition(result.labels, planted)
    assert same_partition(result.methods["mcla"].labels, planted)
    assert same_partition(result.methods["vote"].labels, planted)
    assert result.methods["mcla"].anmi == pytest.approx(1)
    assert result.methods["mcla"].clusters_used == 5
    assert (result.agreement == 1).all()


def test_one_head_gives_its_partition_back(same_partition):
    labels = np.random.default_rng(5).integers(4, size=200)
    result = build_consensus(labels[None] * 2, 4)
    assert same_partition(result.methods["mcla"].labels, labels)
    assert same_partition(result.labels, labels)


def test_unused_ids_and_heads_with_one_cluster(accuracy):
    assignments, planted = planted_ensemble(1000, 15, 5, seed=6)
    strange = assignments.astype(np.int32) * 37 + 11
    strange[3] = 250
    result = build_consensus(strange, 5)
    assert accuracy(result.labels, planted) > 0.99
    assert set(np.unique(result.labels)) <= set(range(5))


def test_only_heads_with_one_cluster():
    result = build_consensus(np.zeros((4, 30), dtype=np.int64), 3)
    assert (result.methods["mcla"].labels == result.methods["mcla"].labels[0]).all()
    assert result.methods["mcla"].clusters_used == 1
    assert result.methods["mcla"].anmi == 1.0
    assert result.chosen in DEFAULT_METHODS


@pytest.mark.parametrize("images", [1, 2, 3, 5])
def test_few_images(images):
    assignments = np.random.default_rng(images).integers(3, size=(6, images))
    result = build_consensus(assignments, 4)
    for method in DEFAULT_METHODS:
        labels = result.methods[method].labels
        assert labels.shape == (images,)
        assert labels.min() >= 0
        assert labels.max() < 4
    assert ((result.agreement > 0) & (result.agreement <= 1)).all()


@pytest.mark.slow
def test_unbalanced_classes(accuracy):
    assignments, planted = planted_ensemble(4000, 30, 10, imbalance=20, seed=7)
    result = build_consensus(assignments, 10)
    assert accuracy(result.labels, planted) > 0.99
    assert result.methods["hgpa"].anmi < result.methods["mcla"].anmi - 0.1
    assert result.chosen in ("mcla", "vote")


def test_memory_mapped_and_seeded(tmp_path):
    assignments, _ = planted_ensemble(700, 10, 7, confused=0.35, seed=8)
    np.save(tmp_path / "assignments.npy", assignments)
    mapped = np.load(tmp_path / "assignments.npy", mmap_mode="r")
    first, second = (build_consensus(source, 7, settings=SAMPLED, seed=9) for source in (assignments, mapped))
    other = build_consensus(assignments, 7, settings=SAMPLED, seed=10)
    for method in DEFAULT_METHODS:
        np.testing.assert_array_equal(first.methods[method].labels, second.methods[method].labels)
    assert any((first.methods[name].labels != other.methods[name].labels).any() for name in DEFAULT_METHODS)
    assert first.recorded_settings == second.recorded_settings
    assert first.recorded_settings["tool"].startswith("pymetis ")
    assert first.recorded_settings["seed"] == 9


def test_choice_is_the_highest_average_nmi_or_the_name():
    assignments, _ = planted_ensemble(500, 10, 5, confused=0.35, imbalance=5, seed=11)
    result = build_consensus(assignments, 5)
    assert result.methods[result.chosen].anmi == max(method.anmi for method in result.methods.values())
    for method in DEFAULT_METHODS:
        named = build_consensus(assignments, 5, choose=method)
        assert named.chosen == method
        np.testing.assert_array_equal(named.labels, named.methods[method].labels)
        assert (named.confidence is None) == (method in ("cspa", "hgpa"))


def test_vote_aligned_to_a_head(accuracy):
    assignments, planted = planted_ensemble(500, 10, 5, reshaped=0, seed=12)
    result = build_consensus(assignments, 5, methods=["vote"], settings=ConsensusSettings(vote_reference=3))
    assert accuracy(result.labels, planted) > 0.99
    many = np.vstack([np.arange(500)[None] % 9, assignments[:2]])
    skipped = build_consensus(many, 5, methods=["mcla", "vote"], settings=ConsensusSettings(vote_reference=0))
    assert "9 clusters" in skipped.methods["vote"].skipped


def test_reasons_of_skipped_and_failed_methods_are_kept(monkeypatch):
    assignments, _ = planted_ensemble(300, 6, 4, seed=13)

    def breaks(*_):
        raise RuntimeError("no partition\nat all")

    def fills_memory(*_):
        raise MemoryError

    monkeypatch.setattr(ensemble_methods, "cspa", breaks)
    monkeypatch.setattr(ensemble_methods, "vote", fills_memory)
    result = build_consensus(assignments, 4, settings=ConsensusSettings(hgpa_pin_limit=10))
    assert list(result.methods) == list(DEFAULT_METHODS)
    assert result.methods["cspa"].skipped == "failed: no partition"
    assert result.methods["vote"].skipped == "out of memory"
    assert "hgpa_pin_limit" in result.methods["hgpa"].skipped
    assert result.methods["hgpa"].labels is None
    assert result.chosen == "mcla"
    for options in ({"choose": "hgpa"}, {"methods": ["hgpa"]}):
        with pytest.raises(UserError, match="hgpa_pin_limit = 10"):
            build_consensus(assignments, 4, settings=ConsensusSettings(hgpa_pin_limit=10), **options)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"methods": ["mcla", "kmeans"]}, "kmeans"),
        ({"methods": []}, "methods"),
        ({"methods": ["mcla", "mcla"]}, "once"),
        ({"choose": "best"}, "choose = best"),
        ({"methods": ["mcla"], "choose": "cspa"}, "choose = cspa"),
        ({"classes": 0}, "classes = 0"),
        ({"settings": ConsensusSettings(vote_reference=7)}, "vote_reference = 7"),
    ],
)
def test_impossible_requests_are_refused(options, word):
    assignments, _ = planted_ensemble(50, 3, 4)
    with pytest.raises(UserError, match=word):
        build_consensus(assignments, **{"classes": 4, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"vertex_weight": "weight"},
        {"hgpa_tool": "hmetis"},
        {"imbalance": 0.0},
        {"jaccard_minimum": 1.0},
        {"cspa_neighbors": 0},
        {"cspa_over_partition": ()},
        {"cspa_over_partition": (0,)},
        {"hgpa_pin_limit": -1},
        {"vote_reference": "cspa"},
        {"vote_reference": -1},
    ],
)
def test_impossible_settings_are_refused(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        ConsensusSettings(**options)
