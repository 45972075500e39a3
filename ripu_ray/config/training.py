"""The section `training`: the recipe."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ripu_ray.config.fields import Chance, Count, Number, Section, Steps, Weight

TEACHER = ("teacher", "teacher_threshold", "teacher_weight")
"""Settings that the warm-up and the references do not use."""
_Factor = Annotated[float, Number, Field(ge=0.1, le=10)]


class AugmentationConfig(Section):
    """Random views of the images in training, source and target alike; the defaults change nothing."""

    flip: Chance = 0.0
    """Chance that an image is mirrored, left to right."""
    scale: tuple[_Factor, _Factor] = (1.0, 1.0)
    """Smallest and largest factor by which an image is enlarged; a random part of its size is cut, and below 1 the
    border is reflected. Uniform in the logarithm."""
    jitter: Annotated[float, Number, Field(ge=0, lt=1)] = 0.0
    """Largest relative change of brightness, contrast and saturation; the hue turns by up to half of it."""
    blur: Chance = 0.0
    """Chance of a Gaussian blur of 0.1 to 2 pixels."""

    @model_validator(mode="after")
    def _smaller_first(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale {list(self.scale)}: expected the smaller factor first, such as [0.5, 2.0]")
        return self


class TrainingConfig(Section):
    """The training recipe. Steps are optimiser updates."""

    warmup_steps: Annotated[int, Number] = Field(300, ge=0, le=10**9)
    """Steps on the source before the first round."""
    round_steps: Steps = 60
    """Steps on source and target after each purchase."""
    last_round_steps: Steps | None = None
    """Steps after the last purchase. None: `round_steps`."""
    schedule_steps: Steps | None = None
    """Horizon of the learning rate's schedule. None: the warm-up, all rounds, and `round_steps` more."""
    source_free: bool = False
    """Train on bought target pixels only, without the losses of the source. Training starts from a warm-up on the
    source; or, with `warmup_steps: 0`, from `model.init_from` or a pretrained encoder, and no source is opened."""
    source_sampling: Literal["uniform", "rarity"] = "uniform"
    """How images of the source are sampled. rarity: images with classes that were rare in the images sampled so far are
    sampled more often."""
    label_resolution: Literal["label", "input"] = "label"
    """Resolution of the losses. label: logits are resized to the size of the labels, and every bought pixel counts.
    input: labels are resized to nearest to the size of the input, as in the reference implementation; most bought
    pixels are lost."""
    source_batch: Count = 4
    """Images of the source per step."""
    target_batch: Count = 4
    """Images of the target per step."""
    optimiser: Literal["sgd", "adamw"] = "adamw"
    """Optimiser: adamw, or sgd as in the paper. From random weights, sgd is unstable on the embedded task
    (docs/log.md)."""
    learning_rate: Annotated[float, Number] = Field(0.003, gt=0, le=1e30)
    """Initial learning rate."""
    head_rate_factor: Annotated[float, Number] = Field(1.0, gt=0, le=10**6)
    """Factor of the classifier's learning rate, relative to the other layers."""
    power: Annotated[float, Number] = Field(0.9, ge=0, le=1000)
    """Exponent of the polynomial schedule."""
    momentum: Annotated[float, Number] = Field(0.9, ge=0, lt=1)
    """Momentum of sgd."""
    weight_decay: Weight = 0.01
    """Weight decay."""
    consistency_weight: Weight = 0.1
    """Weight of the consistency loss: alpha1 of the paper."""
    negative_weight: Weight = 1.0
    """Weight of the negative learning loss: alpha2 of the paper."""
    negative_threshold: Annotated[float, Number] = Field(0.05, gt=0, lt=1)
    """Probability below which a class is a negative label: tau of the paper."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of the network's forward and backward pass. bfloat16: under autocast; weights, optimiser and losses
    stay in float32."""
    channels_last: bool = False
    """Store weights and images in torch's channels_last format, which is faster for convolutions on GPUs."""
    checkpoint_every: Steps = 25
    """Steps between mid-phase checkpoints. A crash repeats at most this many steps. Results do not depend on it."""
    compile: bool = False
    """Run the network through torch.compile. On the CPU, it needs a C++ compiler."""
    cuda_graph: bool = False
    """Launch the forward and backward pass of a step at once, as a CUDA graph. For small networks, whose kernels take
    less time than their launches. The network's code runs for the first steps only. Ignored without a GPU, with several
    Train workers, with a teacher, and with `oracle.answer: multi_hot`."""
    speed: Literal["set", "auto"] = "set"
    """set: `precision`, `channels_last`, `compile` and `cuda_graph` as they are set. auto: on a GPU, those of the four
    that were measured to be fastest for the network (docs/benchmarks.md), without `compile` if a C compiler or
    Python's headers are missing."""
    schedule: Literal["polynomial", "cosine", "constant"] = "polynomial"
    """Decay of the learning rate until `schedule_steps`. polynomial: (1 - share) ** power. cosine: (1 + cos(pi *
    share)) / 2. constant: no decay."""
    ramp_steps: Annotated[int, Number] = Field(0, ge=0, le=10**9)
    """First steps of the warm-up, in which the learning rate also increases linearly from 0. Source: Goyal et al.,
    arXiv 1706.02677."""
    rates: dict[str, Weight] = Field({})
    """Factors of the learning rate by shell pattern of parameter names, such as {"*.norm*": 0.1}. The factors of all
    patterns that match are multiplied. 0: not trained."""
    freeze: Literal["none", "norm", "backbone"] = "none"
    """Layers that are not trained. norm: normalisation layers, with their statistics. backbone: all layers except the
    head; they run in evaluation mode, without dropout."""
    decay_norms: bool = True
    """Apply weight decay to normalisation layers, too."""
    clip_norm: Annotated[float, Number, Field(gt=0, le=10**6)] | None = None
    """Maximum norm of the gradient of a step. A larger gradient is scaled to it. None: no limit."""
    ema: Annotated[float, Number, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, such as 0.999. The average scores images and is evaluated.
    After n steps, the decay is at most (1 + n) / (10 + n). None: no average."""
    augmentation: AugmentationConfig = AugmentationConfig()
    class_weights: Literal["none", "bought"] = "none"
    """Weights of the classes in the cross-entropy of bought pixels. bought: 1 / log(1.02 + s), where s is the share of
    a class in all labelled pixels bought so far, so that rare classes count more."""
    teacher: Literal["none", "ema"] = "none"
    """What the network learns in target pixels that are not bought. none: nothing. ema: from the first round on, the
    confident predictions of an average of the weights. With the setting `ema`, this is its average, which also scores
    and is evaluated. Without `ema`, the decay is 0.996, and the weights themselves score and are evaluated."""
    teacher_threshold: Chance = 0.95
    """Probability from which a prediction of the teacher counts."""
    teacher_weight: Weight = 1.0
    """Factor of the loss to the teacher's predictions."""

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later settings that have their defaults: they would change the keys of older warm-ups."""
        fields = type(self).model_fields
        later = {
            "cuda_graph",
            "speed",
            "schedule",
            "ramp_steps",
            "rates",
            "freeze",
            "decay_norms",
            "clip_norm",
            "ema",
            "augmentation",
            "class_weights",
            *TEACHER,
        }
        absent = {key for key in later if getattr(self, key) == fields[key].default}
        return {key: value for key, value in serialize(self).items() if key not in absent}
