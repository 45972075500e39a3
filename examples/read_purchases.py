"""What a trial bought: one row for each region, and the number of regions of each image and round."""

import ripu_ray as ripu

SMALL = {"data.size": [48, 64], "data.num_pool": 8, "strategy.rounds": 2}
SMALL |= {"training.warmup_steps": 20, "training.round_steps": 5}

if __name__ == "__main__":
    results = ripu.run(name="purchases", settings=SMALL | {"cluster.scorers": 0})
    purchases = ripu.Ledger.open(results.folder, results.trials[0]).to_frame()
    print(purchases.head())
    print(purchases.groupby(["image_id", "round"]).size().unstack())
