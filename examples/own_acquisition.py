"""An acquisition function of one's own, beside random. It reaches the scoring actors of Ray with the configuration."""

import ripu_ray as ripu

SMALL = {"data.size": [48, 64], "data.num_pool": 8, "strategy.rounds": 2}
SMALL |= {"training.warmup_steps": 20, "training.round_steps": 5}


@ripu.acquisition("ratio")
def ratio(maps, query):
    """Probability of the second class over that of the best, in [0, 1]; the window's mean in mode "region"."""
    best_HW, second_HW = maps.best_two
    return query.mean(second_HW / best_HW)


if __name__ == "__main__":
    results = ripu.sweep(acquisitions=["ratio", "random"], name="own-acquisition", settings=SMALL)
    assert not results.failures
    print(results.frame.groupby("trial")["miou"].last())
