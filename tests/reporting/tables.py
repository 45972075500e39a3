"""Results as `collect` gives them, drawn from a seed: of as many trials as a test or a benchmark wants."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

GAIN = {"random": 0.20, "entropy": 0.18, "ripu": 0.22}
CLASSES = ("road", "sky", "pole")


def make_results(
    acquisitions: Sequence[str] = ("random", "ripu"),
    budgets: Sequence[str] = ("2.2", "5"),
    windows: Sequence[int] = (3,),
    seeds: int = 5,
    rounds: int = 5,
    references: bool = True,
) -> pd.DataFrame:
    """One row for each trial and round, of a pool of 1,000,000 pixels; `references` adds source_only and full."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        start = 0.40 + 0.02 * rng.normal()
        arms = [(budget, window, name) for budget in budgets for window in windows for name in acquisitions]
        if references:
            arms += [(budgets[0], windows[0], "source_only"), (budgets[0], windows[0], "full")]
        for budget, window, name in arms:
            is_reference = name in ("source_only", "full")
            last = {"source_only": -1, "full": 0}.get(name, rounds - 1)
            arm = f"region-w{window}-{name}-b{budget}"
            for number in range(-1, last + 1):
                share = 0.0 if number < 0 else 1.0 if is_reference else float(budget) / 100 * (number + 1) / rounds
                gain = 0.28 if is_reference else GAIN.get(name, 0.2) * (1 - np.exp(-60 * share))
                miou = start + (gain if number >= 0 else 0) + (0.005 * rng.normal() if number >= 0 else 0)
                spent = int(1_000_000 * share)
                rows.append(
                    {
                        "trial": f"{arm}-s{seed}",
                        "arm": arm,
                        "mode": "region",
                        "window": window,
                        "acquisition": name,
                        "budget": budget,
                        "seed": seed,
                        "round": number,
                        "step": 300 + 60 * (number + 1),
                        "budget_pixels": int(1_000_000 * float(budget) / 100),
                        "spent_pixels": spent,
                        "void_pixels": spent // 10,
                        "clipped_pixels": spent // 100,
                        "clicks": spent // window**2,
                        "spent_share": share,
                        "miou": miou,
                        "accuracy": miou + 0.2,
                        **{f"iou_{klass}": miou + 0.1 * rng.normal() for klass in CLASSES},
                        "seconds_train": 9.0,
                        "seconds_evaluate": 0.5,
                        "seconds_score": np.nan if number < 0 else 0.7,
                    }
                )
    return pd.DataFrame(rows)
