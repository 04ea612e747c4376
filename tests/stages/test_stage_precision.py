import pytest

from pipeline_lib.base.errors import UserError
from pipeline_lib.params.params import load_params
from stages import _precision
from stages._precision import check_equal_precision, with_precision


@pytest.mark.parametrize("taken", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["extract", "train_heads", "pretrain"])
def test_settings_name_what_auto_took(monkeypatch, repository, name, taken):
    monkeypatch.setattr(_precision, "taken_precision", lambda wanted, _: taken if wanted == "auto" else wanted)
    section = getattr(load_params(repository / "params.yaml", changes={f"{name}.precision": "auto"}), name)
    settled, precision = with_precision(section, "cpu")
    assert (settled.precision, precision) == (taken, taken)
    assert settled.model_dump() == section.model_dump() | {"precision": taken}


@pytest.mark.parametrize(("rank", "said"), [("0", "warning: slow\n"), ("1", "")])
def test_the_first_process_warns(monkeypatch, capsys, repository, rank, said):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(_precision, "slow_bfloat16", lambda wanted, _: "slow" if wanted == "bfloat16" else None)
    params = load_params(repository / "params.yaml", changes={"extract.precision": "bfloat16"})
    settled, _ = with_precision(params.extract, "cpu")
    assert settled.precision == "bfloat16"
    assert capsys.readouterr().err == said
    with_precision(params.train_heads, "cpu")
    assert capsys.readouterr().err == ""


def test_processes_of_unlike_precisions_are_refused(monkeypatch):
    monkeypatch.setattr(_precision, "from_first", lambda _: "bfloat16")
    check_equal_precision("bfloat16")
    with pytest.raises(UserError, match="precision = auto: the first process takes bfloat16, this one float32"):
        check_equal_precision("float32")
