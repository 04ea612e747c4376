import urllib.error
import urllib.request
from pathlib import Path

import huggingface_hub
import pytest
import timm
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from pipeline_lib.backbones.model_hub import hub_file
from pipeline_lib.backbones.settings import BackboneSettings
from pipeline_lib.base.errors import MissingFileError, UserError

CONFIG = BackboneSettings(model="vit_small_patch14_dinov2.lvd142m", name="dinov2_vits14")
FACTS = timm.get_pretrained_cfg(CONFIG.model).to_dict()
WHAT_TO_DO = (
    r"backbones\.dinov2_vits14\.weights: cannot get vit_small_patch14_dinov2\.lvd142m from the model hub \(.*\); "
    r"put model\.safetensors of the hub's repository timm/vit_small_patch14_dinov2\.lvd142m "
    r"\(or the official dinov2_vits14_pretrain\.pth\) into .*dinov2_vits14\.safetensors, "
    r"set backbones\.dinov2_vits14\.weights\.source = file and backbones\.dinov2_vits14\.weights\.path = "
)


@pytest.fixture(autouse=True)
def _no_cache_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("asked for a download"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def test_a_hub_that_does_not_answer_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(MissingFileError, match=WHAT_TO_DO) as caught:
        hub_file(CONFIG, FACTS)
    assert "no route to host" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_offline_mode_does_not_touch_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("touched the network"))
    with pytest.raises(MissingFileError, match="HF_HUB_OFFLINE is set"):
        hub_file(CONFIG, FACTS)


def test_a_failed_download_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def reachable(*_: object, **__: object) -> None:
        raise urllib.error.HTTPError("", 403, "forbidden", None, None)  # type: ignore[arg-type]

    def fails(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("connection lost\nsecond line")

    monkeypatch.setattr(urllib.request, "urlopen", reachable)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fails)
    with pytest.raises(MissingFileError, match=WHAT_TO_DO) as caught:
        hub_file(CONFIG, FACTS)
    assert "connection lost" in str(caught.value)
    assert "second line" not in str(caught.value)


def test_a_cached_file_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, file, **_: f"/cache/{repo}/{file}")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("touched the network"))
    assert hub_file(CONFIG, FACTS) == Path("/cache/timm/vit_small_patch14_dinov2.lvd142m/model.safetensors")


def test_models_without_published_weights_say_so() -> None:
    config = BackboneSettings(model="vit_tiny_r_s16_p8_224", name="b")
    with pytest.raises(UserError, match=r"backbones\.b\.weights\.source = hub: timm has no weights on the hub for"):
        hub_file(config, FACTS | {"hf_hub_id": None})
