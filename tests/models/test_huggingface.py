"""Networks of transformers: small random ones, which the tests save, read back at odd sizes, trained, resumed."""

import json
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from ripu_ray.config import Config, ModelConfig, dump_config, load_config
from ripu_ray.errors import DataError, InputError
from ripu_ray.models import huggingface
from ripu_ray.models.networks import build_network
from ripu_ray.models.pretrained import load_pretrained
from ripu_ray.runs.grid import expand
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.simulation.preflight import check_trials
from ripu_ray.training.checkpoint import load_training_state
from tests.conftest import TINY
from tests.running import run_all, trained

pytestmark = pytest.mark.skipif(find_spec("transformers") is None, reason="needs the extra transformers")
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16]}
SWIN = {"depths": [1, 1, 1, 1], "embed_dim": 8, "num_heads": [1, 1, 1, 1], "window_size": 2}
VIT = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 4}


def _upernet(inner: Any) -> Any:
    import transformers

    inner.out_features = ["stage1", "stage2", "stage3", "stage4"]
    sizes = {"hidden_size": 8, "pool_scales": [1, 2], "auxiliary_in_channels": 16, "auxiliary_channels": 8}
    config = transformers.UperNetConfig(backbone_config=inner, num_labels=4, **sizes)
    return transformers.UperNetForSemanticSegmentation(config)


@cache
def _models() -> dict[str, Callable[[], Any]]:
    """Name -> a small random model. It imports transformers, which takes seconds, so it is called in tests only."""
    import transformers as hf

    heads = {"num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 8}
    dpt = {"neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8, "backbone_out_indices": [0, 1, 2, 3]}
    return {
        "segformer": lambda: hf.SegformerForSemanticSegmentation(hf.SegformerConfig(**STAGES, **heads, num_labels=4)),
        "upernet-convnext": lambda: _upernet(hf.ConvNextConfig(**STAGES)),
        "upernet-swin": lambda: _upernet(hf.SwinConfig(**SWIN)),
        "dpt": lambda: hf.DPTForSemanticSegmentation(
            hf.DPTConfig(**VIT, **dpt, intermediate_size=16, image_size=32, patch_size=8, num_labels=4)
        ),
        "dinov2": lambda: hf.Dinov2Model(hf.Dinov2Config(**VIT, mlp_ratio=2, image_size=28, patch_size=14)),
        "dinov3": lambda: hf.DINOv3ViTModel(
            hf.DINOv3ViTConfig(**VIT, intermediate_size=16, image_size=32, patch_size=8, num_register_tokens=1)
        ),
        "convnext": lambda: hf.ConvNextForImageClassification(hf.ConvNextConfig(**STAGES)),
        "swin": lambda: hf.SwinModel(hf.SwinConfig(**SWIN)),
        "bert": lambda: hf.BertModel(
            hf.BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
        ),
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Name of `_models` -> the folder of its checkpoint."""

    @cache
    def save(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(1)
        _models()[name]().save_pretrained(folder)
        return folder

    return save


CASES = {
    "segformer": ("transformers", "linear"),
    "upernet-convnext": ("transformers", "linear"),
    "upernet-swin": ("transformers", "linear"),
    "dpt": ("transformers", "linear"),
    "dinov2": ("backbone", "linear"),
    "dinov3": ("backbone", "aspp"),
    "convnext": ("backbone", "aspp"),
    "swin": ("backbone", "linear"),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_checkpoint_is_read_at_odd_sizes_and_trained(saved: Callable[[str], Path], kind: str, tmp_path: Path) -> None:
    name, head = CASES[kind]
    model = ModelConfig.model_validate({"name": name, "checkpoint": str(saved(kind)), "head": head})
    network = build_network(model, 10, seed=0)
    (note,) = load_pretrained(network, model)
    assert note.startswith(f"{name} starts from {saved(kind)}: ")
    assert "decode_head.classifier" in note or name == "backbone" or kind == "dpt"
    network.eval()
    with torch.inference_mode():
        for size in ((33, 70), (32, 48), (8, 8)):
            logits = network(torch.rand(1, 3, *size))
            assert logits.shape == (1, 10, *size)
            assert logits.isfinite().all()
    # By content, since transformers renames some tensors.
    read = {tensor.numpy().tobytes() for tensor in network.state_dict().values()}
    there = [tensor.numpy().tobytes() in read for tensor in _file(saved(kind)).values() if len(tensor.shape) > 1]
    assert sum(there) >= len(there) - 4

    settings = [
        f"model.name={name}",
        f"model.checkpoint={saved(kind)}",
        *([] if head == "linear" else ["model.head=aspp"]),
    ]
    config = load_config(None, [*TINY, *settings, "training.optimiser=adamw", "training.head_rate_factor=10"])
    state, losses = trained(config, tmp_path / "weights.pt", num_steps=1)
    assert np.isfinite(losses["total"])
    backbone, last = network.parameter_groups()
    assert backbone and last and len(backbone) + len(last) == len(list(network.parameters()))
    assert sum(not torch.equal(state.network[key], value) for key, value in network.state_dict().items()) > 10


def _file(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def test_no_row_of_pixels_is_left_out_for_a_patch_written_as_a_list(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    settings = (saved("dinov2") / "config.json").read_text()
    (tmp_path / "config.json").write_text(settings.replace('"patch_size": 14', '"patch_size": [14, 14]'))
    network = build_network(ModelConfig.model_validate({"name": "backbone", "checkpoint": str(tmp_path)}), 2, seed=0)
    plain = torch.zeros(1, 3, 32, 32)
    corner = plain.clone()
    corner[:, :, -2:, -2:] = 5
    with torch.inference_mode():
        assert (network.eval()(corner) - network(plain)).abs().max() > 0


def test_logits_lie_where_the_pixels_are(saved: Callable[[str], Path]) -> None:
    """A patch of another colour changes the logits at its place most, at a size that patches do not divide."""
    model = ModelConfig.model_validate({"name": "backbone", "checkpoint": str(saved("swin"))})
    network = build_network(model, 2, seed=0).eval()
    last = network.get_submodule("head.last").get_parameter("weight")
    last.data[:, 8:] = 0  # the finest features remain, which see little beside their place
    plain = torch.zeros(1, 3, 41, 75)
    spot = plain.clone()
    spot[:, :, 16:20, 36:40] = 5
    with torch.inference_mode():
        change = (network(spot) - network(plain)).abs().sum(1)[0]
    row, col = divmod(int(change.argmax()), 75)
    assert 14 <= row <= 22 and 34 <= col <= 42


@pytest.mark.parametrize(
    ("processor", "mean", "std"),
    [
        (None, 0.485, 0.229),
        ({}, 0.485, 0.229),
        ({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}, 0.5, 0.25),
        ({"image_mean": [127.5] * 3, "image_std": [51.0] * 3, "do_rescale": False}, 0.5, 0.2),
        ({"do_normalize": False}, 0.0, 1.0),
        ({"image_mean": [1.0] * 3, "image_std": [1.0] * 3, "rescale_factor": 2 / 255}, 0.5, 0.5),
    ],
)
def test_normalisation_is_that_of_the_image_processor(
    saved: Callable[[str], Path], tmp_path: Path, processor: dict[str, Any] | None, mean: float, std: float
) -> None:
    (tmp_path / "config.json").write_bytes((saved("segformer") / "config.json").read_bytes())
    if processor is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    network = build_network(ModelConfig.model_validate({"name": "transformers", "checkpoint": tmp_path}), 4, seed=0)
    assert (network.mean[0], network.std[0]) == pytest.approx((mean, std))


def _damaged(saved: Callable[[str], Path], folder: Path, fault: str) -> tuple[str, str]:
    """Name and checkpoint of a network with a fault."""
    source = saved("segformer")
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights, settings = folder / "model.safetensors", folder / "config.json"
    if fault == "pickles":
        torch.save(_file(source), folder / "pytorch_model.bin")
        weights.unlink()
    elif fault == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif fault == "foreign weights":
        weights.write_bytes((saved("bert") / "model.safetensors").read_bytes())
    elif fault == "config":
        settings.write_text("{")
    elif fault == "code":
        settings.write_text(json.dumps({"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}))
    elif fault == "sizes":
        settings.write_text(settings.read_text().replace("8,\n    8,\n    16,\n    16", "8,\n    8,\n    16,\n    32"))
    elif fault == "type":
        settings.write_text(settings.read_text().replace('"num_channels": 3', '"num_channels": "three"'))
    elif fault == "processor":
        (folder / "preprocessor_config.json").write_text('{"image_mean": [1, 2], "image_std": [1, 2]}')
    elif fault == "channels":
        settings.write_text(settings.read_text().replace('"num_channels": 3', '"num_channels": 4'))
    elif fault == "nan":
        from safetensors.torch import save_file

        save_file({name: tensor / 0 for name, tensor in _file(source).items()}, weights, {"format": "pt"})
    kinds = {"bert": ("transformers", saved("bert")), "not a backbone": ("backbone", source)}
    others = {"missing": ("backbone", folder / "nothing"), "offline": ("backbone", Path("absent/nothing"))}
    others["file"] = "backbone", settings
    name, place = {**kinds, **others}.get(fault, ("transformers", folder))
    return name, str(place)


FAULTS = {
    "pickles": r"has no model\.safetensors \(pickles, such as \*\.bin, are not read\)$",
    "truncated": r"SafetensorError: .*",
    "foreign weights": r"misses most weights of the encoder, such as segformer\..*",
    "config": r"OSError: It looks like the config file at .* is not a valid JSON file\.$",
    "code": r"ValueError: .*",
    "sizes": r"segformer\..* is \(16.*\), expected \(32.*\)$",
    "type": r"\S+: Validation error for field 'num_channels': TypeError: Field 'num_channels' expected int, got str",
    "file": r"expected a folder with config\.json$",
    "processor": r"not an image processor's file: ValueError: expected image_mean and image_std .*",
    "channels": r"takes 4 channels, expected 3$",
    "nan": r".* holds a NaN or an infinity$",
    "bert": r"bert is not a model with logits for each pixel of transformers: expected .*segformer",
    "not a backbone": r"segformer is not a backbone of transformers: expected .*dinov2",
    "missing": r"there is no such folder$",
    "offline": r"OSError: We couldn't connect to 'https://huggingface\.co' to load the files",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_checkpoint_gets_one_line(
    saved: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    name, place = _damaged(saved, tmp_path, fault)
    config = load_config(None, [*TINY, f"model.name={name}", f"model.checkpoint={place}"])
    with pytest.raises(InputError, match=rf"^(model\.checkpoint )?\S*: {FAULTS[fault]}") as caught:
        check_trials(expand(config))
    assert "\n" not in str(caught.value)


def test_a_hub_that_does_not_answer_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    config = load_config(None, [*TINY, "model.name=backbone", "model.checkpoint=user/name"])
    began = time.monotonic()
    with pytest.raises(InputError, match=r"^model\.checkpoint user/name: OSError: We couldn't connect"):
        check_trials(expand(config))
    assert time.monotonic() - began < 15  # its client would wait for 24 s


def test_a_missing_extra_is_named(saved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "find_spec", lambda name: None)
    config = load_config(None, [*TINY, "model.name=backbone", f"model.checkpoint={saved('dinov2')}"])
    with pytest.raises(InputError, match=r"^model\.name backbone needs transformers: pip install 'ripu-ray\[transf"):
        check_trials(expand(config))


def test_a_text_is_a_folder_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own/model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for text, expected in {
        "own/model": tmp_path / "own/model",
        "own/other": "own/other",
        "./own/other": tmp_path / "own/other",
    }.items():
        config = load_config(None, ["model.name=backbone", f"model.checkpoint={text}"])
        assert config.model.checkpoint == expected
        assert Config.model_validate(yaml.safe_load(dump_config(config))) == config


def test_a_checkpoint_that_changed_is_refused_on_resume(saved: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(copytree(saved("segformer"), tmp_path / "own"))
    config = load_config(None, [*TINY, "model.name=transformers", f"model.checkpoint={folder}"])
    run = RunFolder.create(tmp_path / "run", config, check_trials(expand(config)))
    RunFolder.create(run.path, config, check_trials(expand(config)))
    processor = folder / "preprocessor_config.json"
    processor.write_text('{"image_mean": [0.1, 0.1, 0.1]}')
    added = check_trials(expand(config))
    processor.unlink()
    torch.manual_seed(2)
    _models()["segformer"]().save_pretrained(folder)
    for now in (added, check_trials(expand(config))):
        with pytest.raises(DataError, match=f"the data changed since the run was started: {folder} was changed; "):
            RunFolder.create(run.path, config, now)


def test_a_run_and_its_resumption_give_equal_weights(saved: Callable[[str], Path], tmp_path: Path) -> None:
    settings = ["model.name=transformers", f"model.checkpoint={saved('segformer')}", "strategy.rounds=1"]
    config = load_config(None, [*TINY, *settings, "cluster.scorers=0", "training.freeze=norm"])
    notes: list[str] = []
    check_trials(expand(config), notify=notes.append)
    (note,) = notes
    assert "new, since missing there or of another size: decode_head.classifier.bias" in note
    run = run_all(tmp_path / "run", config)
    (trial_id,) = run.trials
    stage = run.trial(trial_id).stage(0)
    before = stage.weights.read_bytes()
    (stage.path / "record.json").unlink()
    run_all(run.path, config)
    assert stage.weights.read_bytes() == before
    state = load_training_state(stage.weights)
    fresh = build_network(config.model, 10, config.seed)
    load_pretrained(fresh, config.model)
    for name, module in fresh.named_modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            for key, value in module.state_dict().items():
                assert torch.equal(state.network[f"{name}.{key}"], value), (name, key)
