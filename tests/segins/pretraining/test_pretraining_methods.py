"""The registry of pretraining methods."""

import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.params.params import load_params
from pipeline_lib.segins.pretraining.method import Method
from pipeline_lib.segins.pretraining.methods import METHODS


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_class_and_its_section_in_the_parameters(name, repository):
    assert issubclass(METHODS[name].method, Method)
    assert type(load_params(repository / "params.yaml").method_settings(name)) is METHODS[name].settings


def test_a_method_that_is_not_there_is_refused_by_name(repository):
    params = repository / "params.yaml"
    with pytest.raises(UserError, match="pretraining method = 'knn': unknown; allowed: simsiam, moco"):
        load_params(params).method_settings("knn")
    with pytest.raises(UserError, match=r"segins_suite\.method\.0 = 'byol': allowed: 'simsiam' or 'moco'"):
        load_params(params, {"segins_suite.method": ["byol"]})
    with pytest.raises(UserError, match=r"moco\.queu = 3: unknown key; did you mean queue\?"):
        load_params(params, {"moco.queu": 3})
