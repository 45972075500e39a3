"""The weights of a run: exported, and evaluated."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ripu_ray.api.arguments import Settings, as_round
from ripu_ray.api.results import Results
from ripu_ray.api.running import resolve
from ripu_ray.config import Config
from ripu_ray.storage.remote import locate

if TYPE_CHECKING:
    from ripu_ray.simulation.evaluation import Figures


def export_weights(
    folder: str | Path, output: str | Path | None = None, trial: str | None = None, round_index: int | None = None
) -> Path:
    """Write the weights of one round of a run for other programs: those that were evaluated.

    Args:
        folder: run folder, finished or not.
        output: its ending says the format: .safetensors, or .pt or .pth of `torch.save`. None: the names of the trial
            and the round, .safetensors, in the working directory. An existing file is replaced.
        trial: id of the trial; None: the only one.
        round_index: -1 is the warm-up; None: the last committed round.

    Returns:
        The file. Names of tensors are those of the user's module or of transformers, where the network wraps one.

    Raises:
        ConfigError, RunFolderError: one line: another ending, no such trial or committed round, altered weights.
        StorageError: the file cannot be written.
    """
    from ripu_ray.simulation.export import export_weights as export

    number = as_round(round_index)
    return export(Results(folder).run, None if output is None else locate(output), trial, number)


def evaluate(
    checkpoint: str | Path,
    config: Config | str | Path | None = None,
    *,
    flip: bool = False,
    predictions: str | Path | None = None,
    settings: Settings | None = None,
    plugins: Sequence[str] = (),
    watch: Callable[[Iterable[str]], Iterable[str]] = lambda image_ids: image_ids,
) -> "Figures":
    """Evaluate weights on the target's validation split.

    Args:
        checkpoint: weights.pt of a run, .safetensors, or a file that the reference implementation published.
        config, settings, plugins: specify the data and the network; see `sweep`.
        flip: average the probabilities of the image and of its mirror image.
        predictions: folder for `<image id>.png`, at label size in the colours of the classes; None: no pictures.
        watch: wraps the iterable of image ids, to show progress.

    Returns:
        mIoU, accuracy and IoU by class, in [0, 1].

    Raises:
        DataError: a file of the data set, or the checkpoint, is missing, damaged or does not fit.
        StorageError: a picture cannot be written.
        NonFiniteError: a logit is NaN or infinite; names the image.
    """
    from ripu_ray.simulation.evaluation import evaluate_checkpoint

    folder = None if predictions is None else locate(predictions)
    resolved = resolve(config, settings, plugins=plugins)
    return evaluate_checkpoint(resolved, locate(checkpoint), flip, folder, watch)
