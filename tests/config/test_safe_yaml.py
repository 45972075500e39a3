"""YAML and messages from outside: harmless, few, each key once, and one line."""

import pickle
from pathlib import Path

import pytest

from ripu_ray.config import load_config
from ripu_ray.config.safe_yaml import read_yaml
from ripu_ray.errors import ConfigError, DataError, RipuError
from ripu_ray.runs.grid import expand

LAUGHS = "\n".join([f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" if n else "k0: &a0 [ha]" for n in range(12)])
"""12 lines that stand for 9 ** 11 texts."""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "more than 100000 values"),
        ("&a [*a]", "an alias inside of what it stands for"),
        ("[" * 10_000, "nested more than 32 deep"),
        ("[" * 40 + "]" * 40, "nested more than 32 deep"),
        ("# " + "x" * 1_000_000, "more than 1000000 characters"),
        ("seed: 1\nseed: 2", "line 2: the key 'seed' is there twice"),
        ("a: {b: 0x" + "f" * 5000 + "}", "a.b: a number of more than 100 digits"),
        ("9" * 5000, "digits"),
        ("2024-99-99", "month"),
        ("!!timestamp soon", "not valid YAML"),
        ("!!int one", "invalid literal"),
        ("!!float one", "could not convert"),
        ("!!python/object/apply:os.system [touch /ran]", "not valid YAML at line 1"),
        ("{[a]: b}", "not valid YAML"),
        ("\0", "not valid YAML"),
        ("--- 1\n--- 2", "not valid YAML"),
    ],
)
def test_what_could_harm_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_yaml(text)


def test_anchors_and_merges_work() -> None:
    assert read_yaml("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}") == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}
    assert read_yaml("") is None


@pytest.mark.parametrize(
    "setting",
    [
        "model.backbone_weights=https://user:hunter2@host/resnet101.pth",
        "model.backbone_weights=https://host/resnet101.pth?X-Amz-Signature=hunter2",
        "model.backbone_weights=https://host/resnet101.pth?a=b&access_token=hunter2",
        "data.root=s3://key:hunter2@bucket/data",
        "cluster.address=ray://user:hunter2@head:10001",
        "sweep.vary={model.init_from: [a.pt, 'ftp://u:hunter2@host/b.pt']}",
        "tracking.no_such={deeper: ['https://u:hunter2@host']}",
        "https://u:hunter2@host: [",
        "'https://u:hunter2@host'=1",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(setting: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, [setting])
    assert "hunter2" not in str(caught.value)


def test_a_message_is_one_printable_line_whatever_it_quotes() -> None:
    error = RipuError("a\nb\r\x1b[31m\u2028\udcffc " + "x" * 5000 + " end")
    assert str(error).startswith(r"a\nb\r\x1b[31m\u2028\udcffc xxx")
    assert str(error).endswith("xxx end")
    assert len(str(error)) < 1100
    fault = pickle.loads(pickle.dumps(DataError("one", ["one\n", "two"])))  # noqa: S301 (our own)
    assert (str(fault), fault.faults) == ("one", (r"one\n", "two"))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("seed=9223372036854775808", "seed"),
        ("seed=true", "seed: expected a number, found True"),
        ("training.warmup_steps=yes", "training.warmup_steps: expected a number, found True"),
        ("strategy.rounds=1000000000000", "strategy.rounds"),
        ("data.num_pool=1e12", "data.num_pool"),
        ("data.size=[8, 65537]", "data.size"),
        ("model.width=1000000000", "model.width"),
        ("training.learning_rate=1e300", "training.learning_rate"),
        ("tracking.project=a/b", "tracking.project"),
        ("tracking.project=''", "tracking.project"),
        ("model.init_from='a\\0b'", "model.init_from: not a path that a file can have"),
        (f"model.init_from={'a' * 256}", "model.init_from: not a path that a file can have"),
    ],
)
def test_numbers_and_names_have_limits(setting: str, says: str) -> None:
    key, _, value = setting.partition("=")
    with pytest.raises(ConfigError, match=says):
        load_config(None, [f'{key}="{value[1:-1]}"' if "\\" in value else setting])


@pytest.mark.parametrize(
    ("acquisition", "vary", "says"),
    [
        (
            "ripu",
            "model.init_from=a b.pt,a_b.pt",
            "two trials would share the folder region-w3-ripu-b2.2-init_from=_a_b.pt_:",
        ),
        ("full", "model.init_from=a b.pt,a_b.pt", "two trials would share the folder full-init_from=_a_b.pt_:"),
        ("ripu", f"data.seed={','.join(map(str, range(9998)))}", "19996 trials: expected at most 10000"),
        ("ripu", f"model.init_from={'a' * 200}", "a trial's name of more than 150 characters"),
    ],
)
def test_trials_that_cannot_have_folders_are_refused(acquisition: str, vary: str, says: str) -> None:
    flags = {"sweep.acquisitions": [acquisition], "sweep.vary": [vary], "sweep.seeds": ["0", "1"]}
    with pytest.raises(ConfigError, match=says):
        expand(load_config(None, flags=flags))


def test_a_file_of_laughs_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "laughs.yaml"
    file.write_text(LAUGHS)
    with pytest.raises(ConfigError, match=r"laughs\.yaml: more than 100000 values"):
        load_config(file)
