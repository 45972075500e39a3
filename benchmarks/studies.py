"""The sweeps of docs/results.md, as arguments of `ripu sweep`. `benchmarks.results` runs them."""

# A study that does not vary the power is greedy, and has no flips, unlike the demo and configs/folder.yaml.
RECIPE = ["--set=strategy.power=null", "--set=training.augmentation.flip=0"]
COMMON = ["--seeds=0,1,2,3,4", "--wandb=disabled", "--set=cluster.scorers=0", *RECIPE]
SMALL = ["--set=data.size=[64,96]", "--set=training.round_steps=30"]
SIZE = "[90,120]"
FOLDER = "--config=configs/folder.yaml"
PHOTOGRAPHS = [
    FOLDER,
    f"--set=data.input_size={SIZE}",
    f"--set=data.label_size={SIZE}",
    "--set=training.round_steps=60",
    "--budgets=2.2",
]
PRETRAINED_FOLDER = "--config=configs/pretrained.yaml"
PRETRAINED = [
    PRETRAINED_FOLDER,
    "--set=data.input_size=[360,480]",
    "--set=data.label_size=[360,480]",
    "--budgets=0.05,0.22,2.2",
    "--mode=region,pixel",
    "--set=cluster.gpu=true",
    "--set=cluster.processes_per_gpu=10",
]
PAIRS = ["--set=training.source_batch=2", "--set=training.target_batch=2", "--set=training.channels_last=true"]
LITE = ["--set=model.name=efficientnet_lite0", "--set=model.pretrained=imagenet"]
# An hour on two cores of a CPU: small batches, few steps.
PRETRAINED_EMBEDDED = [
    *PAIRS,
    *LITE,
    *("--set=training.learning_rate=0.0001", "--set=training.head_rate_factor=10"),
    *("--set=data.num_pool=24", "--set=data.num_validation=16"),
    *("--set=training.warmup_steps=300", "--set=training.round_steps=20"),
]
# Half an hour on two cores of a CPU: small images, small batches, few steps.
REDUCED_PHOTOGRAPHS = [
    *PAIRS,
    *LITE,
    "--budgets=2.2",
    FOLDER,
    f"--set=data.input_size={SIZE}",
    f"--set=data.label_size={SIZE}",
    "--set=training.warmup_steps=200",
    "--set=training.round_steps=40",
]
SHORT = [
    PRETRAINED_FOLDER,
    *PAIRS,
    *("--set=training.augmentation.flip=0.5", "--set=training.warmup_steps=300", "--set=training.round_steps=20"),
]
# An hour on two cores of a CPU.
LOW = [*SHORT, "--set=data.input_size=[120,160]", "--set=data.label_size=[120,160]"]
# An hour.
LARGER = [*SHORT, "--set=data.input_size=[240,320]", "--set=data.label_size=[240,320]"]
# Two hours. The photographs as they are stored.
STORED = [*SHORT, "--set=data.input_size=[360,480]", "--set=data.label_size=[360,480]"]
POWER_1 = "--vary=strategy.power=1"
BEST = ["--budgets=0.05,0.22,2.2", "--mode=pixel", "--acquisitions=ripu", "--set=strategy.power=1"]
# The sweep of README, which takes minutes for a seed.
DEMO = ["--set=training.round_steps=30", "--budgets=2.2,5", "--mode=region"]
STUDIES = {
    "demo": [*DEMO, "--acquisitions=random,ripu,source_only,full"],
    "demo-spread": [*DEMO, POWER_1, "--acquisitions=ripu"],
    "embedded": [
        *SMALL,
        "--budgets=2.2,5",
        "--mode=region,pixel",
        "--acquisitions=random,ripu,entropy,margin,impurity,uncertainty,source_only,full",
    ],
    "embedded-spread": [
        *SMALL,
        "--budgets=2.2,5",
        "--mode=region,pixel",
        "--acquisitions=random,ripu",
        "--vary=strategy.power=null,1",
    ],
    "photographs": [*PHOTOGRAPHS, "--acquisitions=random,entropy,ripu,source_only,full"],
    "photographs-spread": [
        *PHOTOGRAPHS,
        "--acquisitions=ripu",
        "--vary=strategy.power=1",
        "--vary=strategy.balanced=false,true",
    ],
    # Minutes on one H100; here, on 2 cores, a step takes one.
    "photographs-deeplab": [
        FOLDER,
        "--set=model.name=deeplabv3plus",
        "--set=data.input_size=[360,480]",
        "--set=data.label_size=[360,480]",
        "--set=data.cache=runs/cache-deeplab",
        "--set=training.warmup_steps=360",
        "--set=training.round_steps=22",
        "--set=training.source_batch=2",
        "--set=training.target_batch=2",
        "--set=training.learning_rate=0.0002",
        "--set=training.precision=bfloat16",
        "--set=training.checkpoint_every=1000",
        "--set=cluster.gpu=true",
        "--set=cluster.processes_per_gpu=10",
        "--budgets=2.2",
        "--acquisitions=random,entropy,ripu,full",
    ],
    "pretrained": [*PRETRAINED, "--acquisitions=random,ripu,clasp_pe,halo_euclidean,source_only,full"],
    "pretrained-spread": [*PRETRAINED, "--acquisitions=ripu,entropy,margin", "--vary=strategy.power=1"],
    "pretrained-low": [
        *LOW,
        *("--budgets=0.22,2.2,0.05", "--mode=region,pixel", POWER_1),
        "--acquisitions=random,ripu,entropy,margin,source_only,full",
    ],
    "pretrained-low-greedy": [
        *LOW,
        *("--budgets=0.22,2.2,0.05", "--mode=region,pixel", "--acquisitions=ripu,clasp_pe,halo_euclidean"),
    ],
    "pretrained-ten-seeds": [
        *LOW,
        *("--seeds=0-9", "--budgets=0.22,2.2,0.05", "--mode=region,pixel", POWER_1),
        "--acquisitions=random,entropy,margin",
    ],
    "pretrained-ten-seeds-pixel": [
        *LOW,
        *("--seeds=0-9", "--budgets=0.22,2.2,0.05", "--mode=pixel", POWER_1, "--acquisitions=ripu"),
    ],
    "pretrained-larger": [
        *LARGER,
        *("--budgets=0.22", "--mode=region,pixel", POWER_1),
        "--acquisitions=random,ripu,entropy,margin,source_only,full",
    ],
    "pretrained-stored": [
        *STORED,
        *("--budgets=0.22", "--mode=region,pixel", POWER_1),
        "--acquisitions=random,ripu,entropy,source_only,full",
    ],
    "pretrained-stored-greedy": [*STORED, "--budgets=0.22", "--acquisitions=ripu"],
    "pretrained-stored-seeds": [
        *STORED,
        *("--seeds=5-9", "--budgets=0.22", "--mode=region", POWER_1, "--acquisitions=random,ripu"),
    ],
    # Seven hours.
    "pretrained-stored-budgets": [
        *STORED,
        *("--seeds=0-9", "--budgets=2.2,0.05", "--mode=region,pixel", POWER_1, "--acquisitions=random,ripu"),
    ],
    # Two hours and a half.
    "pretrained-stored-longer": [
        *STORED,
        *("--set=training.round_steps=60", "--seeds=5-9", "--budgets=2.2,0.05", "--mode=region", POWER_1),
        "--acquisitions=random,ripu",
    ],
    "pretrained-stored-void": [
        *STORED,
        *("--seeds=5-9", "--budgets=0.22", "--mode=region", POWER_1, "--acquisitions=ripu"),
        "--vary=strategy.avoid_void=none,learned",
    ],
    "pretrained-teacher": [
        *LOW,
        *("--budgets=0.22,2.2", "--mode=pixel", POWER_1, "--acquisitions=entropy,random"),
        "--vary=training.teacher=none,ema",
    ],
    "pretrained-teacher-settings": [
        *LOW,
        *("--budgets=0.22", "--mode=pixel", POWER_1, "--acquisitions=entropy"),
        *("--vary=training.teacher=none,ema", "--vary=training.source_free=false,true"),
        "--vary=training.teacher_threshold=0.5,0.95",
    ],
    "pretrained-source": [*LOW, *BEST, "--vary=training.source_free=false,true"],
    # As many steps in all as with the warm-up.
    "pretrained-source-none": [
        *LOW,
        *BEST,
        *("--set=training.warmup_steps=0", "--set=training.round_steps=80", "--vary=training.source_free=true"),
    ],
    "pretrained-embedded": [
        *PRETRAINED_EMBEDDED,
        *("--budgets=2.2,0.22", "--mode=region,pixel", POWER_1),
        "--acquisitions=random,ripu,entropy,margin,source_only,full",
    ],
    "pretrained-embedded-greedy": [
        *PRETRAINED_EMBEDDED,
        *("--budgets=2.2", "--mode=region,pixel", "--acquisitions=ripu,clasp_pe,halo_euclidean"),
    ],
    "pretrained-embedded-longer": [
        *PRETRAINED_EMBEDDED,
        *("--set=training.round_steps=60", "--budgets=2.2,0.22", "--mode=region,pixel", POWER_1),
        "--acquisitions=random,ripu",
    ],
    "pretrained-photographs": [*REDUCED_PHOTOGRAPHS, "--acquisitions=random,ripu,source_only,full"],
    "pretrained-photographs-spread": [*REDUCED_PHOTOGRAPHS, POWER_1, "--acquisitions=ripu,entropy"],
    "pretrained-photographs-pixel": [
        *REDUCED_PHOTOGRAPHS,
        POWER_1,
        "--mode=pixel",
        "--acquisitions=random,ripu,entropy",
    ],
    "shift": [
        *SMALL,
        "--budgets=2.2,5",
        "--acquisitions=ripu",
        "--vary=data.shift=0,1,2",
        "--vary=training.source_free=false,true",
    ],
}
