import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pipeline_lib.base.errors import UserError
from pipeline_lib.params.overrides import as_override, parsed_settings


@pytest.mark.parametrize(
    "value",
    [
        3,
        1.25e-06,
        0.1,
        True,
        False,
        None,
        "auto",
        "null",
        "True",
        "IVF1024,Flat",
        "a b",
        'say "x"',
        ["cls", "patch_mean"],
        [1e-5, 0.1],
    ],
)
def test_dvc_parses_an_override_to_the_same_value(value):
    override = OverridesParser.create().parse_override(as_override("a.b", value, {"a": {"b": 0}}))
    assert override.key_or_group == "a.b"
    parsed = override.value()
    assert parsed == value
    assert type(parsed) is type(value) or isinstance(value, str)


def test_a_key_that_the_file_leaves_to_its_default_is_added():
    listed = {"knn": {"threshold": 0.3}, "launcher": "python"}
    assert as_override("knn.threshold", 1, listed) == "knn.threshold=1"
    assert as_override("knn.shown", 1, listed) == "+knn.shown=1"
    assert as_override("launcher.a.b", 1, listed) == "+launcher.a.b=1"


def test_settings_are_yaml_and_the_last_of_a_key_counts():
    texts = ["knn.threshold=1e-1", "features.blocks=[cls]", "train_heads.epochs=null", "knn.threshold=0.5"]
    assert parsed_settings(texts) == {"knn.threshold": 0.5, "features.blocks": ["cls"], "train_heads.epochs": None}


@pytest.mark.parametrize("text", ["knn.threshold", "=3", "a=[1"])
def test_what_is_no_setting_is_refused_in_one_line(text):
    with pytest.raises(UserError, match="-S ") as caught:
        parsed_settings([text])
    assert "\n" not in str(caught.value)
