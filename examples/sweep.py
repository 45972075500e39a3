"""A sweep from Python: two strategies, two seeds, and their results as a table."""

import ripu_ray as ripu

SMALL = {"data.size": [48, 64], "data.num_pool": 8, "strategy.rounds": 2}
SMALL |= {"training.warmup_steps": 20, "training.round_steps": 5}

if __name__ == "__main__":
    results = ripu.sweep(
        budgets=[2.2], mode="region", acquisitions=["ripu", "random"], seeds=[0, 1], name="sweep", settings=SMALL
    )
    last = results.frame.groupby("trial").last()
    print((100 * last[["miou", "spent_share"]]).round(1))
    print(results.curves[["line", "round", "mean"]])
    print(results.report())
