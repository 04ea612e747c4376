"""A preset that is named after a paper says of every key of its sections either a value or why it needs none."""

from pathlib import Path

import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.params.presets import load_presets

ROOT = Path(__file__).resolve().parents[2]
PRESETS = load_presets(ROOT / "conf/presets.yaml")


UCLS = ("extract", "features", "knn", "train_heads", "assign", "consensus", "self_train", "bounds")


@pytest.mark.parametrize("name", [name for name in PRESETS.by_name if "thesis" in PRESETS.lineage(name)])
def test_the_presets_of_the_thesis_decide_all_that_ucls_is_made_of(name):
    assert PRESETS.decides(name) == UCLS


def test_temi_decides_neighbours_and_heads():
    assert PRESETS.decides("temi") == ("features", "knn", "train_heads")


@pytest.fixture
def presets_of(tmp_path):
    def load(text):
        path = tmp_path / "presets.yaml"
        path.write_text(text)
        return load_presets(path)

    return load


@pytest.mark.parametrize("name", list(PRESETS.by_name))
def test_no_preset_leaves_a_key_undecided_of_the_sections_that_it_decides(name):
    assert PRESETS.undecided(name) == []


def test_a_key_is_decided_by_a_value_or_a_reason_also_of_what_is_extended(presets_of):
    presets = presets_of("""
        base:
          describe: x
          decides: [features]
          settings: {features.blocks: [cls]}
          waived: {features.centre: no cosines, extract.storage: digits only}
        part: {describe: x, extends: base, settings: {features.centre: true}}
        whole: {describe: x, extends: base, settings: {features.normalise_blocks: false}}
        other: {describe: x, decides: [bounds], settings: {bounds.turtle.steps: 1}}
        nothing: {describe: x}
        """)
    assert presets.undecided("base") == ["features.normalise_blocks"]
    assert presets.undecided("part") == ["features.normalise_blocks"]
    assert presets.undecided("whole") == presets.undecided("nothing") == []
    undecided = presets.undecided("other")
    assert "bounds.turtle.steps" not in undecided
    # A default in the settings class decides nothing.
    assert {"bounds.turtle.batch_size", "bounds.turtle.inner_steps", "bounds.kmeans_restarts"} <= set(undecided)


def test_what_a_preset_sets_is_waived_no_longer(presets_of):
    presets = presets_of("""
        base: {describe: x, waived: {features.centre: no cosines, extract.storage: digits only}}
        part: {describe: x, extends: base, settings: {features.centre: true}, waived: {extract.storage: another reason}}
        """)
    assert presets.waived("base") == {"features.centre": "no cosines", "extract.storage": "digits only"}
    assert presets.waived("part") == {"extract.storage": "another reason"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: {describe: x, waived: {knn.treshold: y}}",
            r"a\.waived: knn\.treshold: unknown; did you mean knn\.threshold",
        ),
        ("a: {describe: x, waived: {knn: y}}", r"a\.waived: knn: unknown; "),
        ("a: {describe: x, waived: {knn.k_min: ''}}", r"a\.waived\.knn\.k_min = '': String should have at least 1"),
        ("a: {describe: x, waived: {knn.k_min: null}}", r"a\.waived\.knn\.k_min = None"),
        ("a: {describe: x, decides: [features, kn]}", r"a\.decides: kn: unknown; did you mean knn\? allowed: suite, "),
        (
            "a: {describe: x, settings: {knn.k_min: 5}, waived: {knn.k_min: y}}",
            r"preset a: waived\.knn\.k_min: it is set to 5; one of both goes",
        ),
        (
            "a: {describe: x, settings: {knn.k_min: 5}}\nb: {describe: x, extends: a, waived: {knn.k_min: y}}",
            r"preset b: waived\.knn\.k_min: it is set to 5; one of both goes",
        ),
    ],
)
def test_a_waiver_that_says_nothing_is_refused_in_one_line(presets_of, text, message):
    with pytest.raises(UserError, match=message) as caught:
        presets_of(text)
    assert "\n" not in str(caught.value)
