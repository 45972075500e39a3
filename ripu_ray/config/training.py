"""The section `training`: the recipe."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ripu_ray.config.fields import Chance, Count, Number, Section, Steps, Weight

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
    """The recipe. Steps are optimiser updates. The default schedule is (1 - step / schedule_steps) ** power."""

    warmup_steps: Annotated[int, Number] = Field(300, ge=0, le=10**9)
    round_steps: Steps = 60
    last_round_steps: Steps | None = None
    """Of the last round, after which training goes on; None: as many as of the others."""
    schedule_steps: Steps | None = None
    """Horizon of the polynomial schedule; None: the warm-up, all rounds, and round_steps more."""
    source_free: bool = False
    """Adapt on bought target pixels alone, without the source's losses. Starts from `model.init_from`, and then the
    source's images are never opened, or from a warm-up on the source, which is the only one to open them."""
    source_sampling: Literal["uniform", "rarity"] = "uniform"
    """rarity: the rarer a class among the source images drawn so far, the more often an image that has it."""
    label_resolution: Literal["label", "input"] = "label"
    """Where the losses are taken. label: logits are brought to the labels' size, and every bought pixel counts.
    input: labels are resized to nearest to the images' size, as the reference does, and most bought pixels are lost."""
    source_batch: Count = 4
    target_batch: Count = 4
    optimiser: Literal["sgd", "adamw"] = "adamw"
    """sgd is the paper's; adamw learns the embedded task from scratch, where sgd is unsteady (docs/log.md)."""
    learning_rate: Annotated[float, Number] = Field(0.003, gt=0, le=1e30)
    head_rate_factor: Annotated[float, Number] = Field(1.0, gt=0, le=10**6)
    power: Annotated[float, Number] = Field(0.9, ge=0, le=1000)
    momentum: Annotated[float, Number] = Field(0.9, ge=0, lt=1)
    """Of sgd."""
    weight_decay: Weight = 0.01
    consistency_weight: Weight = 0.1
    negative_weight: Weight = 1.0
    negative_threshold: Annotated[float, Number] = Field(0.05, gt=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: the network's pass runs under autocast; weights, optimiser and losses stay in float32."""
    channels_last: bool = False
    """Weights and images with the channels innermost in memory, which GPUs' convolutions like."""
    checkpoint_every: Steps = 25
    """Steps after which a phase writes down where it stands: what a crash in mid-phase repeats, at most. Results do not
    depend on it."""
    compile: bool = False
    """Run the network through torch.compile; on the CPU it needs a C++ compiler."""
    schedule: Literal["polynomial", "cosine", "constant"] = "polynomial"
    """How the learning rate falls until schedule_steps: (1 - share) ** power, (1 + cos(pi * share)) / 2, or not."""
    ramp_steps: Annotated[int, Number] = Field(0, ge=0, le=10**9)
    """First steps of the warm-up, over which the learning rate also grows from 0, linearly. Source: Goyal et al.,
    arXiv 1706.02677."""
    rates: dict[str, Weight] = Field({})
    """Shell patterns of parameter names, such as "*.norm*": factors of the learning rate. Where several match, all
    count. 0: not trained."""
    freeze: Literal["none", "norm", "backbone"] = "none"
    """norm: scales, offsets and statistics of normalisation layers do not change. backbone: nothing outside the
    head does, and it works as in evaluation, without dropout."""
    decay_norms: bool = True
    """Whether weight_decay counts for normalisation layers, too."""
    clip_norm: Annotated[float, Number, Field(gt=0, le=10**6)] | None = None
    """Largest norm of the gradient of a step; a longer one is scaled to it."""
    ema: Annotated[float, Number, Field(gt=0, lt=1)] | None = None
    """Decay of an exponential moving average of the weights, which is what scores and is evaluated. After n steps the
    decay is (1 + n) / (10 + n) at most."""
    augmentation: AugmentationConfig = AugmentationConfig()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out later settings that have their defaults: they would change the keys of older warm-ups."""
        fields = type(self).model_fields
        later = ("schedule", "ramp_steps", "rates", "freeze", "decay_norms", "clip_norm", "ema", "augmentation")
        absent = {key for key in later if getattr(self, key) == fields[key].default}
        return {key: value for key, value in serialize(self).items() if key not in absent}
