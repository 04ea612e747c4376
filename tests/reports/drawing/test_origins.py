from pipeline_lib.reports.drawing.origins import package_versions, stage_settings

ORIGINS = {
    "features": {"stage": "extract", "settings": {"a": 1, "b": {"c": [1, None], "d": "x"}}, "packages": {"torch": "1"}},
    "heads": {"stage": "train_heads", "settings": {}, "packages": {"torch": "2", "numpy": "3"}},
}


def test_settings_are_flat_and_in_order():
    extract, heads = stage_settings(ORIGINS)
    assert extract.stage == "extract"
    assert extract.settings == (("a", "1"), ("b.c", "[1, null]"), ("b.d", "x"))
    assert heads.settings == ()


def test_all_versions_of_a_package_are_told():
    assert package_versions(ORIGINS) == [("numpy", "3"), ("torch", "1, 2")]
