"""A simulated trial, replayed with people who answer perfectly: the same ledger and weights, byte for byte."""

from pathlib import Path

import pytest

from ripu_ray.annotation.answering import answer
from ripu_ray.annotation.asking import AskedTrial, ask, buy_answered
from ripu_ray.annotation.exporting import export
from ripu_ray.config import Config, load_config, vary
from ripu_ray.data.loading import open_domains
from ripu_ray.distributed.parts import ray_parts
from ripu_ray.runs.run_folder import RunFolder
from tests.annotation.answers import CLICKS, KINDS, WRITERS
from tests.conftest import TINY
from tests.running import committed, execute_trial, execute_warmup, ignore, run_all

SETTINGS = {
    "regions": (),
    "pixels of a pool": ("strategy.mode=pixel", "strategy.budget=30px", "strategy.allocation=pool"),
}


def replay(folder: Path, config: Config, form: str) -> RunFolder:
    """Run a configuration with questions and perfect answers in place of the simulated oracle."""
    truth = open_domains(config.data).pool.label
    run = RunFolder.create(folder / "run", vary(config, {"oracle.kind": "human"}))
    for key in run.warmups:
        execute_warmup(run, key, ignore)
    for round_index in range(config.strategy.rounds):
        questions = ask(AskedTrial(run), round_index, ignore, ray_parts())
        export(AskedTrial(run), questions, form, folder / f"export{round_index}")
        asked = AskedTrial(run)
        files = WRITERS[form](asked, questions, truth, folder / f"answers{round_index}")
        outcome = answer(asked, files)
        assert outcome.answered == len(questions) > 0
        assert not (outcome.partly or outcome.outside or outcome.skipped)
        assert answer(AskedTrial(run), files).repeated == len(questions)
        assert buy_answered(AskedTrial(run)) == round_index
        execute_trial(run, next(iter(run.trials)), ignore)
    assert all(map(run.is_finished, run.trials))
    return run


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_perfect_answers_give_the_ledger_and_weights_of_the_simulation(
    tmp_path: Path, settings: tuple[str, ...], form: str
) -> None:
    config = load_config(None, (*TINY, "cluster.scorers=0", *settings))
    simulated = committed(run_all(tmp_path / "simulated", config))
    asked = committed(replay(tmp_path, config, form))
    text = "".join(path.read_text() for path in tmp_path.glob("answers*/answers.*"))
    kinds = [*KINDS[form], *([CLICKS[form]] if config.strategy.mode == "pixel" and form in CLICKS else [])]
    assert all(kind in text for kind in kinds)
    assert {name: content for name, content in asked.items() if "/questions/" not in name} == simulated
