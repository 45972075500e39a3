"""Runs the studies of docs/results.md and writes their tables and figures into it. The other text is written by hand.

    python -m benchmarks.results --photographs FOLDER        everything: several hours on 2 cores
    python -m benchmarks.results --only shift                one study with its parts: NAME-spread, NAME-pixel
    python -m benchmarks.results --only pretrained --photographs FOLDER --also=--seeds=0 --also=--budgets=2.2
                                                             more arguments for `ripu sweep`, to reduce a study
    python -m benchmarks.results --only shift --no-run       its tables alone, from runs/results-shift

A study that was interrupted is resumed. FOLDER has the layout of configs/folder.yaml.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure

from benchmarks.studies import COMMON, FOLDER, PRETRAINED_FOLDER, STUDIES
from ripu_ray.config import REFERENCES
from ripu_ray.reporting.figures import draw_curves
from ripu_ray.reporting.statistics import compare, outcomes, summarise
from ripu_ray.reporting.words import probability
from ripu_ray.storage.files import replace_file, replace_text

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "results.md"
PARTS = ("-spread", "-pixel", "-none", "-greedy")
"""Ends of names of sweeps that belong to a study."""
MERGED = (
    "demo",
    "photographs",
    "pretrained",
    "pretrained-embedded",
    "pretrained-photographs",
    "pretrained-source",
    "pretrained-low",
    "pretrained-ten-seeds",
    "pretrained-stored",
    "pretrained-stored-seeds",
    "pretrained-stored-budgets",
    "pretrained-stored-longer",
    "pretrained-embedded-longer",
)
"""Studies with one table for all their sweeps, in which a power is a part of the strategy's name."""


def main(names: Sequence[str], photographs: Path | None, output: Path, run: bool, also: Sequence[str] = ()) -> None:
    """Run and write."""
    for name in [name for name in STUDIES if {name, *map(name.removesuffix, PARTS)} & {*names}]:
        arguments = ["sweep", *COMMON, *STUDIES[name], *also, f"--output={output}", f"--name=results-{name}"]
        if {FOLDER, PRETRAINED_FOLDER} & {*arguments}:
            if photographs is None:
                print(f"{name}: left out, no --photographs")
                continue
            arguments.append(f"--set=data.root={photographs}")
        if run and "--set=cluster.gpu=true" in arguments and not torch.cuda.is_available():
            print(f"{name}: left out, no GPU")
            continue
        if run:
            subprocess.run([sys.executable, "-m", "ripu_cli", *arguments], check=True, cwd=ROOT)
    found = {name: output / f"results-{name}" / "results.parquet" for name in STUDIES}
    results = {name: pd.read_parquet(path) for name, path in found.items() if path.exists()}
    if "embedded-spread" in results:
        results["embedded-spread"] = _as_acquisitions(results["embedded-spread"])
    for name in ("pretrained-source", "pretrained-source-none"):
        if name in results:
            results[name] = _by_source(results[name], has_warmup=name == "pretrained-source")
    if "pretrained-teacher-settings" in results:
        results["pretrained-teacher-settings"] = _by_teacher(results["pretrained-teacher-settings"])
    for name in MERGED:
        if name in results:
            parts = [results.pop(f"{name}{end}") for end in PARTS if f"{name}{end}" in results]
            results[name] = pd.concat(map(_as_acquisitions, [results[name], *parts]), ignore_index=True)
    page = PAGE.read_text()
    for name, table in results.items():
        page = _put(page, name, "\n\n".join([_means(table), _differences(table)]))
        figure = FIGURES.get(name, _forest)(table)
        picture = ROOT / "docs" / "images" / f"results-{name}.png"
        replace_file(picture, lambda file, figure=figure: figure.savefig(file, format="png", dpi=110))  # type: ignore[misc]
    replace_text(PAGE, page)


def _as_acquisitions(results: pd.DataFrame) -> pd.DataFrame:
    """Rename the settings that spread a purchase to acquisitions, so that each is compared with random.

    A random purchase needs no such setting.
    """
    results = results[results["power"].isna() | (results["acquisition"] != "random")]
    spread = results["acquisition"] + results["power"].map(
        lambda power: "" if pd.isna(power) else f" power {power}".removesuffix(".0")
    )
    spread += results["balanced"].map({True: " balanced", False: ""})
    return results.assign(acquisition=spread, power=float("nan"), balanced=False)


def _by_source(results: pd.DataFrame, has_warmup: bool) -> pd.DataFrame:
    """Name each arm by the source that it learns from, so that all are compared."""
    free = "source in the warm-up" if has_warmup else "no source"
    source = results["training.source_free"].map(lambda is_free: free if is_free else "source in all steps")
    trials = results["trial"] + ("" if has_warmup else "-none")  # both sweeps have trials of the same names
    named = results.drop(columns="training.source_free")
    return named.assign(acquisition=source, power=float("nan"), trial=trials)


def _by_teacher(results: pd.DataFrame) -> pd.DataFrame:
    """Name each arm by its teacher and its source, so that all are compared."""
    threshold, is_free = results["training.teacher_threshold"], results["training.source_free"]
    arm = ("teacher " + threshold.astype(str)).where(results["training.teacher"] == "ema", "no teacher")
    varied = ["training.teacher", "training.teacher_threshold", "training.source_free"]
    return results.drop(columns=varied).assign(
        acquisition=arm + is_free.map({True: ", no source", False: ""}), power=float("nan")
    )


def _put(page: str, name: str, text: str) -> str:
    """The page, with the text between the markers of `name` replaced."""
    first, last = f"<!-- {name}: written by benchmarks.results -->\n", f"<!-- end of {name} -->"
    before, _, rest = page.partition(first)
    _, _, after = rest.partition(last)
    return f"{before}{first}\n{text}\n\n{last}{after}"


def _means(results: pd.DataFrame) -> str:
    """Mean and deviation of the last mIoU, and of AUBC, in points."""
    table = summarise(outcomes(results))
    rows = [
        [
            "any" if (is_reference := row["strategy"].startswith(REFERENCES)) else row["condition"],
            row["strategy"],
            str(row["seeds"]),
            f"{100 * row['miou_mean']:.1f} ± {100 * row['miou_std']:.1f}",
            "-" if is_reference else f"{100 * row['aubc_mean']:.1f}",
        ]
        for row in table.to_dict("records")
    ]
    return _table(["budget", "strategy", "seeds", "mIoU", "AUBC"], rows)


def _differences(results: pd.DataFrame) -> str:
    table = compare(outcomes(results), "miou")
    rows = [
        [
            row["condition"],
            f"{row['first']} - {row['second']}",
            f"{100 * row['difference']:+.2f}",
            f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f}",
            f"{row['wins']} : {row['losses']}",
            probability(row["t_holm"]),
            probability(row["wilcoxon_holm"]),
        ]
        for row in table.to_dict("records")
    ]
    head = ["budget", "difference", "points", "95 % interval", "wins", "p of t, Holm", "p of Wilcoxon, Holm"]
    return _table(head, rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def _forest(results: pd.DataFrame) -> Figure:
    """Every difference with its interval; a panel for each condition."""
    table = compare(outcomes(results), "miou")
    groups = list(table.groupby("condition", sort=False))
    height = 1.2 + 0.28 * max(len(rows) for _, rows in groups)
    figure = Figure(figsize=(3 + 3.5 * len(groups), height), layout="constrained")
    figure.supxlabel("mIoU points, mean over seeds with its 95 % interval")
    panels = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    panels[0].invert_yaxis()
    for axes, (condition, rows) in zip(panels, groups, strict=True):
        names = [f"{first} - {second}" for first, second in zip(rows["first"], rows["second"], strict=True)]
        low, middle, high = (100 * rows[name] for name in ("low", "difference", "high"))
        axes.errorbar(middle, names, xerr=[middle - low, high - middle], fmt="o", capsize=3)
        axes.axvline(0, color="grey", linewidth=1)
        axes.set(title=condition)
        axes.grid(alpha=0.3, axis="x")
    return figure


def _shift(results: pd.DataFrame) -> Figure:
    """mIoU against the shift, with and without the source; a panel for each budget."""
    finished = outcomes(results)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    budgets = list(finished.groupby("budget", sort=False))
    for axes, (budget, there) in zip(figure.subplots(1, len(budgets), squeeze=False)[0], budgets, strict=True):
        for is_free, rows in there.groupby("training.source_free"):
            by_shift = 100 * rows.groupby("data.shift")["miou"].agg(["mean", "std"])
            label = "target alone" if is_free else "source and target"
            axes.errorbar(by_shift.index, by_shift["mean"], yerr=by_shift["std"], marker="o", capsize=3, label=label)
        axes.set(title=f"{budget} %", xlabel="data.shift", ylabel="mIoU (%), mean and deviation over seeds")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


FIGURES: dict[str, Callable[[pd.DataFrame], Figure]] = {"photographs-deeplab": draw_curves, "shift": _shift}
"""The figure of a study, where it is not `_forest`."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=STUDIES, action="append")
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs"))
    parser.add_argument("--also", action="append", default=[], metavar="ARGUMENT")
    parser.add_argument("--no-run", action="store_true")
    given = parser.parse_args()
    main(given.only or list(STUDIES), given.photographs, given.output, not given.no_run, given.also)
