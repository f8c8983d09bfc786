"""params.yaml as one typed, frozen tree. Settings live in params.yaml alone: no field has a default.

A misspelt key, a string for a number or an impossible combination is a `ParamsError` of one line, before any work.
"""

import os
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cycle_sound.errors import ParamsError

Modality = Literal["image", "audio"]
Direction = Literal["audio_to_image", "image_to_audio"]
SourceSplit = Literal["train", "test"]  # of what a source holds; valid is a part of its train
SplitName = Literal["train", "valid", "test", "lone_image", "lone_audio"]
Pairs = Literal["middle", "even", "listed"]
Unpaired = Literal["reject", "keep"]
Parallel = Literal["ddp", "fsdp"]
T = TypeVar("T")
MODALITIES: tuple[Modality, ...] = get_args(Modality)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
SOURCE_SPLITS: tuple[SourceSplit, ...] = get_args(SourceSplit)
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")  # of pairs
LONE: dict[Modality, SplitName] = {"image": "lone_image", "audio": "lone_audio"}  # beside train, without partners

WEIGHTS = ("weights", "perceptual_weights")  # keys that name a file of weights, wherever they stand

MAX_COUNT = 1 << 31  # of anything: more is a slip of the key, and some arithmetic on it would overflow
Positive = Annotated[int, Field(gt=0, le=MAX_COUNT)]
# Bounds that also hold for what the file of a model says of itself: well above the largest models that are known.
Width = Annotated[int, Field(gt=0, le=1 << 16, multiple_of=8)]  # GroupNorm takes eight groups
Depth = Annotated[int, Field(gt=0, le=256)]  # layers or blocks, one after another
Halvings = Annotated[int, Field(ge=0, le=8)]  # of a picture's sides
MAX_SIDE = 2048  # pixels, mels or frames: a batch of 32 pictures of such sides takes 1.6 GB
Side = Annotated[int, Field(gt=0, le=MAX_SIDE)]
PictureShape = tuple[Literal[1, 3], Side, Side]  # (channels, rows, columns)
Codebooks = Annotated[int, Field(ge=1, le=16)]
CodebookSize = Annotated[int, Field(ge=2, le=1 << 16)]
Rounds = Annotated[int, Field(gt=0, le=10_000)]  # of Griffin-Lim
LEAST_SIDE = 16  # pixels to a side of a picture, which a classifier halves four times
FOLDED = 4  # pixels to a side that several networks fold into channels at first
SIDES: dict[Modality, tuple[str, str]] = {  # of a picture, rows and columns: where they come from
    "image": ("image.size", "image.size"),
    "audio": ("audio.mels", "audio frames (data.clip_seconds × audio.sample_rate / audio.hop_length)"),
}
MAX_TOKENS = 4096  # of a picture; they are drawn one after another, each looking at all before it
MAX_CANDIDATES = 1000  # 0.2 MB each while they are re-ranked, of 32 sources at a time
EXTREME = 1e6  # of what logits are multiplied or divided by: they stay finite
MAX_SECONDS = 600.0  # of a clip: what is decoded of any sound
DAY = 86_400.0  # seconds: the system's clocks cannot wait for any number of them
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Share = Annotated[float, Field(ge=0, le=1)]
ShareBelow1 = Annotated[float, Field(ge=0, lt=1)]  # of which all would leave nothing
HeldOut = Annotated[float, Field(gt=0, le=1)]  # share of groups: at least one of two, never all
NonNegative = Annotated[float, Field(ge=0)]
Above0 = Annotated[float, Field(gt=0)]
Decibel = Annotated[float, Field(ge=-300, le=300)]  # whose power float32 holds
Guidance = Annotated[float, Field(ge=0, le=EXTREME)]


def _at_home(path: str) -> str:
    """A path, in which `~` stands for the user's home. Raises ValueError for a user who has none, and for no path."""
    if "\0" in path:
        raise ValueError("a path cannot contain a null character")
    found = os.path.expanduser(path)
    if found.startswith("~"):
        raise ValueError("no user of this name has a home; for a path that begins with ~, write ./~…")
    return found


File = Annotated[str, AfterValidator(_at_home)]  # the path of a file or folder; "": none
Place = Annotated[File, Field(min_length=1)]  # of one that must be named: "" would be the project's own


def source_of(direction: Direction) -> Modality:
    """The modality a direction starts from."""
    return "audio" if direction == "audio_to_image" else "image"


def target_of(direction: Direction) -> Modality:
    """The modality a direction generates."""
    return "image" if direction == "audio_to_image" else "audio"


def opposite_of(direction: Direction) -> Direction:
    """The direction that leads back."""
    return "image_to_audio" if direction == "audio_to_image" else "audio_to_image"


class Config(BaseModel):
    """A part of the tree: strict types, no unknown keys, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PerModality(Config, Generic[T]):
    """A section for each modality."""

    image: T
    audio: T

    def __getitem__(self, modality: Modality) -> T:
        return self.image if modality == "image" else self.audio


class PerDirection(Config, Generic[T]):
    """A section for each direction."""

    audio_to_image: T
    image_to_audio: T

    def __getitem__(self, direction: Direction) -> T:
        return self.audio_to_image if direction == "audio_to_image" else self.image_to_audio


class SyntheticConfig(Config):
    """The toy orchestra, drawn and synthesised from the seed."""

    train_pairs: Positive
    test_pairs: Positive


class FolderConfig(Config):
    """A folder {train_data,test_data}/ID.jpg + ID.mp3, optionally with labels.csv."""

    path: Place


class VideosConfig(Config):
    """A folder of video files, cut into (frame, sound around it) pairs."""

    path: Place
    labels: File  # a list `NAME.mp4,label` without header; "" for none
    pairs_per_clip: Positive  # of data.pairs even
    test_share: HeldOut


class VggSoundConfig(Config):
    """Clips of VGGSound's list: those that lie in a folder, and those that can be fetched into it."""

    list: Place  # `ID,start,label,split` or `NAME.mp4,label`, without header
    test_list: File  # of an older pair of lists the test one; "" for none
    split: Literal["both", "train", "test"]
    test_share: HeldOut
    labels: Sequence[str]  # [] for all
    clips_per_label: Count  # in each split; 0 for all
    path: Place
    moments: File  # a JSON of frame numbers, of data.pairs listed
    pairs_per_clip: Positive  # of data.pairs even
    url: str  # a template with {id} and perhaps {start}; "" to fetch nothing
    fetch_jobs: Positive
    rate_limit: Above0  # bytes per second
    retries: Count
    backoff_seconds: Annotated[float, Field(ge=0, le=DAY)]
    timeout_seconds: Annotated[float, Field(gt=0, le=DAY)]
    max_height: Positive  # pixels
    max_megabytes: Positive
    cookies: File  # a file as browsers export it; "" for none
    proxy: str  # "" for none

    @field_validator("url")
    @classmethod
    def _template(cls, url: str) -> str:
        if not url:
            return url
        try:
            names = {name for _, name, _, _ in Formatter().parse(url) if name is not None}
            url.format(id="-0123456789", start=0)
        except (ValueError, LookupError, AttributeError) as error:
            raise ValueError(f"not a template of {{id}} and {{start}}: {error!r}") from None
        if "id" not in names or not names <= {"id", "start"}:
            raise ValueError("must contain {id}, and may contain {start}, but no other field")
        if not url.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return url


class DataConfig(Config):
    """Where the pairs come from."""

    source: Literal["synthetic", "folder", "videos", "vggsound"]
    pairs: Pairs  # the moments of a video that become pairs
    clip_seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)]
    min_seconds: Above0
    silence_db: Annotated[float, Field(lt=0)]
    max_clipped: Share
    still_difference: NonNegative  # 8-bit levels
    near_picture: Annotated[int, Field(ge=0, le=36)]  # of 144 bits; unrelated pictures differ in 72
    near_sound: Annotated[int, Field(ge=0, le=64)]  # of 256 bits; unrelated sounds differ in 128
    max_rejected: Share
    valid_share: HeldOut
    unpaired: Unpaired  # what becomes of a training clip that has a picture or a sound alone
    paired_share: HeldOut  # of the training groups
    drop_worst: ShareBelow1  # share of the training pairs, by the audit
    synthetic: SyntheticConfig
    folder: FolderConfig
    videos: VideosConfig
    vggsound: VggSoundConfig

    @model_validator(mode="after")
    def _seconds(self) -> "DataConfig":
        if self.min_seconds > self.clip_seconds:
            raise ValueError(f"min_seconds {self.min_seconds} is more than the clip_seconds {self.clip_seconds}")
        return self

    @model_validator(mode="after")
    def _moments(self) -> "DataConfig":
        if self.pairs == "listed" and self.source == "videos":
            raise ValueError("pairs: listed is for data.source vggsound only")
        if self.pairs == "listed" and self.source == "vggsound" and not self.vggsound.moments:
            raise ValueError("pairs: listed needs vggsound.moments, a JSON of frame numbers")
        return self


class ImageConfig(Config):
    """The picture of the image modality: (3, size, size)."""

    size: Side  # pixels


class AudioConfig(Config):
    """The picture of the audio modality, a log-mel of (1, mels, frames)."""

    sample_rate: Annotated[int, Field(ge=4_000, le=192_000)]  # Hz
    fft: Annotated[int, Field(gt=0, le=1 << 15, multiple_of=2)]  # samples; with 2,048 mels the filters take 134 MB
    hop_length: Positive  # samples
    mels: Side
    fmin: NonNegative  # Hz
    min_db: Decibel
    max_db: Decibel

    @model_validator(mode="after")
    def _ranges(self) -> "AudioConfig":
        if self.min_db >= self.max_db:
            raise ValueError(f"min_db {self.min_db} must lie below max_db {self.max_db}")
        if self.hop_length > self.fft // 2:
            raise ValueError(f"hop_length {self.hop_length} must be at most half of fft {self.fft}")
        if self.fmin >= self.sample_rate / 2:
            raise ValueError(f"fmin {self.fmin} Hz must lie below half the sample rate")
        return self

    def frames(self, seconds: float) -> int:
        """Frames of the log-mel of a sound of so many seconds."""
        return round(seconds * self.sample_rate / self.hop_length)


class ShardConfig(Config):
    """The WebDataset shards."""

    pairs_per_shard: Positive
    jpeg_quality: Annotated[int, Field(ge=0, le=100)]


class ShiftConfig(Config):
    """Random shifts of one modality's pictures, in pixels (for a log-mel: mel bands and frames)."""

    rows: Count
    columns: Count


class DegradationConfig(Config):
    """How real pictures are degraded, so that decoded ones look familiar to the networks that read them."""

    blur: Positive  # pixels
    noise: NonNegative  # standard deviation, of pictures in [-1, 1]


class AugmentConfig(PerModality[ShiftConfig]):
    """Shifts of each modality's pictures, and degradation, without which VAEs, their decoders and the audit train."""

    degradation: DegradationConfig


class OptimizerConfig(Config):
    """Muon and AdamW with warm-up and linear decay, and how the run is watched."""

    steps: Positive
    batch_size: Positive
    accumulation: Positive  # backward passes per step, each over an equal micro-batch
    learning_rate: Above0  # of AdamW
    muon_rate: Above0  # × learning_rate, of Muon
    final_learning_rate: Share  # as a share of learning_rate
    warmup: Count  # steps
    weight_decay: NonNegative
    beta2: ShareBelow1
    clip_norm: Above0
    ema_decay: ShareBelow1
    valid_every: Positive  # steps

    @model_validator(mode="after")
    def _portions(self) -> "OptimizerConfig":
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulation {self.accumulation}")
        return self


class VocoderArchitecture(Config):
    """What decides which weights a learned vocoder has."""

    width: Width
    blocks: Depth


class LearnedVocoderConfig(VocoderArchitecture):
    """The learned vocoder as its file and a card have it: its network, and how it is trained and used."""

    griffin_lim_rounds: Rounds
    frames: Positive  # of a training stretch
    optimizer: OptimizerConfig


class LearnedVocoderSection(LearnedVocoderConfig):
    """The learned vocoder as params.yaml has it, with what no use of it needs to know."""

    quietest: Annotated[float, Field(ge=-300, le=0)]  # dB
    log_power_weight: NonNegative


class VocoderConfig(Config):
    """From a log-mel back to a waveform, as a card has it."""

    kind: Literal["griffin_lim", "learned"]
    griffin_lim_rounds: Rounds
    learned: LearnedVocoderConfig


class VocoderSection(VocoderConfig):
    """From a log-mel back to a waveform, as params.yaml has it."""

    learned: LearnedVocoderSection


class LoaderConfig(Config):
    """How training batches are made; no result depends on it."""

    workers: Annotated[int, Field(ge=0, le=1 << 10)]


class InitConfigs(Config):
    """The folders of models from which trainings start; "": a training starts from random weights."""

    vae: PerModality[File]
    transformer: PerDirection[File]
    vocoder: File

    def names_any(self) -> bool:
        """Whether any training starts from a model."""
        return any((*dict(self.vae).values(), *dict(self.transformer).values(), self.vocoder))


class VaeOptimizerConfig(OptimizerConfig):
    """How a VAE is trained, if it is."""

    steps: Count


class VaeArchitecture(Config):
    """What decides which weights a discrete VAE has, and what its codes are."""

    patch: Annotated[int, Field(gt=0, le=64)]
    pixel_width: Width
    width: Width
    blocks: Depth
    downsamples: Halvings
    codebooks: Codebooks
    codebook_size: CodebookSize
    code_width: Annotated[int, Field(gt=0, le=1 << 12)]

    @property
    def latent_width(self) -> int:
        """Channels of the latent: a group of code_width for each codebook."""
        return self.codebooks * self.code_width

    @property
    def stride(self) -> int:
        """Pixels per token, in each direction."""
        return self.patch * 2**self.downsamples

    def check(self, rows: int, columns: int) -> None:
        """Raise ValueError for pictures that are not a whole number of tokens, or of more than MAX_TOKENS."""
        if rows % self.stride or columns % self.stride:
            raise ValueError(f"{rows} x {columns} pixels are not a multiple of the stride {self.stride}")
        if rows * columns > MAX_TOKENS * self.stride**2:
            raise ValueError(
                f"{rows} x {columns} pixels at a stride of {self.stride} are more than {MAX_TOKENS} tokens"
            )


class VaeConfig(VaeArchitecture):
    """One modality's discrete VAE: its architecture, and how it is trained."""

    temperature_start: Above0
    temperature_end: Annotated[float, Field(gt=0, le=0.125)]
    noise: NonNegative
    kl_weight: NonNegative
    balance_weight: NonNegative
    gradient_weight: NonNegative
    perceptual_weight: NonNegative
    perceptual_weights: File
    min_usage: Share
    optimizer: VaeOptimizerConfig


class VaeConfigs(PerModality[VaeConfig]):
    """The VAE of each modality."""


class DecoderConfig(Config):
    """The fine-tuning of one modality's decoder, against a discriminator."""

    adversarial: bool
    discriminator_width: Width
    adversarial_weight: NonNegative
    feature_weight: NonNegative
    optimizer: OptimizerConfig


class DecoderConfigs(PerModality[DecoderConfig]):
    """The fine-tuning of each modality's decoder."""


class NetworkConfig(Config):
    """A network that others trained on photographs, of which features are wanted."""

    network: str  # "": none
    weights: File  # a file; "": those that it comes with

    @model_validator(mode="after")
    def _of_a_network(self) -> "NetworkConfig":
        if self.weights and not self.network:
            raise ValueError("weights need the name of their network")
        return self


class NetworkConfigs(PerModality[NetworkConfig]):
    """The network for each modality."""


class FeaturesConfig(Config):
    """Pretrained networks, which stay frozen."""

    source: NetworkConfigs  # for sources of a transformer whose condition is `features`
    judge: NetworkConfigs  # for the classifier that only judges


class AuditConfig(Config):
    """How training pairs are audited: a dual encoder is trained on each half of them, and judges the other half."""

    enabled: bool
    width: Width
    downsamples: Annotated[int, Field(ge=1, le=6)]  # of a picture that has been folded to a quarter of its sides
    embedding: Width
    partners: Annotated[int, Field(ge=2, le=1 << 16)]
    worst: Positive  # pairs on the page
    optimizer: OptimizerConfig


class ValidationConfig(Config):
    """The validation pairs that a training uses."""

    pairs: Positive


class TokensConfig(Config):
    """The token cache."""

    views: Positive
    top: Positive


class TransformerArchitecture(Config):
    """What decides which weights a transformer has, and what it reads."""

    condition: Literal["encoder", "tokens", "features"]
    source_width: Width
    source_downsamples: Annotated[int, Field(ge=3, le=8)]
    width: Width
    depth: Depth
    heads: Positive
    above: bool
    rotary: bool

    @model_validator(mode="after")
    def _heads(self) -> "TransformerArchitecture":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        if self.rotary and self.width // self.heads % 8:
            raise ValueError(f"rotary: heads of {self.width // self.heads} channels, which must be a multiple of 8")
        return self


class TransformerConfig(TransformerArchitecture):
    """One direction's transformer: its architecture, and how it is trained."""

    dropout: ShareBelow1
    condition_dropout: Annotated[float, Field(gt=0, le=1)]
    corruption: Annotated[float, Field(ge=0, le=0.5)]
    alignment_weight: Above0
    reconstruction_weight: NonNegative
    checkpointing: bool  # no result depends on it
    optimizer: OptimizerConfig


class TransformerConfigs(PerDirection[TransformerConfig]):
    """The transformer of each direction."""


class ClassifierConfig(Config):
    """A classifier of each modality, trained on real data, as its file has it."""

    architecture: Literal["max_pooling", "residual"]
    width: Width
    dropout: ShareBelow1
    optimizer: OptimizerConfig


class ClassifierSection(ClassifierConfig):
    """A classifier as params.yaml has it, with what no use of it needs to know."""

    label_smoothing: ShareBelow1


class SamplingConfig(Config):
    """How one direction generates a target.

    Logits are divided by `temperature`, which is from 1e-6 to 1e6, or 0 to take the likeliest code each time. Codes are
    sampled from the `top_k` likeliest (0: from all), and of these from the likeliest with a total probability of
    `top_p`, in (0, 1]. `guidance`, from 0 to 1e6, is the scale of classifier-free guidance: 1 follows the source as
    trained, 0 ignores it. Of `candidates` drawn so, 1 to 1000, the one is kept that best explains the source, according
    to the other direction. `sampling.model_copy(update={"temperature": 0.5})` is a copy with another
    value. Raises pydantic's ValidationError, a ValueError, for other values.
    """

    temperature: Annotated[float, Field(ge=0, le=EXTREME)]
    top_k: Count
    top_p: Annotated[float, Field(gt=0, le=1)]
    guidance: Guidance
    candidates: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)]

    @field_validator("temperature")
    @classmethod
    def _drawable(cls, temperature: float) -> float:
        if 0 < temperature < 1 / EXTREME:
            raise ValueError(f"must be 0 (the likeliest code) or at least {1 / EXTREME:g}")
        return temperature


class SamplingConfigs(PerDirection[SamplingConfig]):
    """How each direction samples codes: `audio_to_image` and `image_to_audio`, a `SamplingConfig` each."""


class CycleConfig(Config):
    """Back-translation: each direction learns from what the other generates for real targets without partners."""

    rounds: Annotated[int, Field(ge=0, le=100)]
    lone_share: Share  # of a batch
    keep: Share  # of the drawn sources
    sampling: SamplingConfig
    optimizer: OptimizerConfig


class SweepConfig(Config):
    """The sampling settings that are compared."""

    pairs: Positive
    guidances: Annotated[list[Guidance], Field(min_length=1)]


class ConfidenceConfig(Config):
    """What the confidence of each direction is fitted to."""

    pairs: Positive
    guidances: Annotated[list[Guidance], Field(min_length=1)]
    penalty: Above0
    unfamiliar: Annotated[float, Field(gt=0, lt=1)]


class EvaluateConfig(Config):
    """What the evaluation measures, and on how many pairs."""

    retrieval_pool: Positive
    retrieval_queries: Positive
    rerank_candidates: Annotated[list[Positive], Field(min_length=1)]
    waveforms: Positive
    kernel_pairs: Positive
    shown: Positive
    kept: Positive


class ReportConfig(Config):
    """What the report shows."""

    shown: Positive
    neighbours: Positive
    neighbours_among: Positive


class Params(Config):
    """The whole of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=1 << 32)]  # a CPU's generators take so many bits of it
    launcher: str  # of all that computes on a device; before `-m stages.NAME` in dvc.yaml
    parallel: Parallel  # of the processes that train a transformer
    loader: LoaderConfig
    data: DataConfig
    image: ImageConfig
    audio: AudioConfig
    vocoder: VocoderSection
    shard: ShardConfig
    augment: AugmentConfig
    validation: ValidationConfig
    audit: AuditConfig
    init: InitConfigs
    vae: VaeConfigs
    decoder: DecoderConfigs
    tokens: TokensConfig
    features: FeaturesConfig
    classifier: ClassifierSection
    judge: ClassifierSection
    transformer: TransformerConfigs
    cycle: CycleConfig
    sampling: SamplingConfigs
    sweep: SweepConfig
    confidence: ConfidenceConfig
    evaluate: EvaluateConfig
    report: ReportConfig

    @field_validator("launcher")
    @classmethod
    def _command(cls, launcher: str) -> str:
        if not launcher.strip() or len(launcher.splitlines()) > 1:
            raise ValueError("must be a command of one line, such as python")
        return launcher

    @property
    def shapes(self) -> dict[Modality, tuple[int, int]]:
        """Rows and columns of each modality's pictures."""
        frames = self.audio.frames(self.data.clip_seconds)
        return {"image": (self.image.size, self.image.size), "audio": (self.audio.mels, frames)}

    @model_validator(mode="after")
    def _whole_hops(self) -> "Params":
        exact = self.data.clip_seconds * self.audio.sample_rate / self.audio.hop_length
        if abs(exact - self.audio.frames(self.data.clip_seconds)) > 1e-6:
            raise ValueError(f"data.clip_seconds {self.data.clip_seconds} is {exact:.3f} hops, not a whole number")
        return self

    @model_validator(mode="after")
    def _pictures(self) -> "Params":
        for modality, shape in self.shapes.items():
            for name, pixels in zip(SIDES[modality], shape, strict=True):
                _check_side(name, pixels, self.vae[modality].stride)
            self.vae[modality].check(*shape)
            rows, columns = shape
            if self.augment[modality].rows >= rows or self.augment[modality].columns >= columns:
                raise ValueError(f"augment.{modality} shifts pictures of {rows} x {columns} pixels out of the frame")
        if (blur := self.augment.degradation.blur) > self._least_side:
            raise ValueError(f"augment.degradation.blur {blur} is more than the {self._least_side} pixels of a picture")
        return self

    @model_validator(mode="after")
    def _models(self) -> "Params":
        for modality in MODALITIES:
            vae = self.vae[modality]
            if not vae.optimizer.steps and not self.init.vae[modality]:
                raise ValueError(
                    f"vae.{modality}.optimizer.steps 0 needs a trained VAE: name one in init.vae.{modality}"
                )
            if self.tokens.top > vae.codebook_size:
                raise ValueError(f"tokens.top {self.tokens.top}: vae.{modality}.codebook_size is {vae.codebook_size}")
        for direction in DIRECTIONS:
            self._check_source(direction)
        return self

    @model_validator(mode="after")
    def _audited(self) -> "Params":
        if self.data.drop_worst and not self.audit.enabled:
            raise ValueError(f"data.drop_worst {self.data.drop_worst} needs the audit: set audit.enabled to true")
        least = FOLDED * 2**self.audit.downsamples
        if self.audit.enabled and self._least_side < least:
            raise ValueError(f"audit.downsamples {self.audit.downsamples} needs pictures of at least {least} pixels")
        return self

    @property
    def _least_side(self) -> int:
        """Pixels of the shortest side of all pictures."""
        return min(min(shape) for shape in self.shapes.values())

    def _check_source(self, direction: Direction) -> None:
        """Raise ValueError where a direction's transformer could not read its sources."""
        source, config = source_of(direction), self.transformer[direction]
        if config.condition == "features" and not self.features.source[source].network:
            raise ValueError(
                f"transformer.{direction}.condition: features needs a network: name features.source.{source}.network, "
                "such as efficientnet_lite0 (of the extra `judges`) or resnet18"
            )
        key = f"transformer.{direction}.source_downsamples {config.source_downsamples}"
        if self._least_side < 2**config.source_downsamples:
            raise ValueError(f"{key} needs pictures of at least {2**config.source_downsamples} pixels")
        rows, columns = (side >> config.source_downsamples for side in self.shapes[source])
        if config.condition != "features" and rows * columns > MAX_TOKENS:
            raise ValueError(f"{key} leaves {rows} x {columns} latents of a source, more than {MAX_TOKENS}")


def _check_side(name: str, pixels: int, stride: int) -> None:
    """Raise ValueError for a side of a modality's pictures that a network cannot take."""
    if pixels % stride:
        raise ValueError(f"{name} = {pixels} is not a multiple of the VAE's stride {stride}")
    if pixels % FOLDED or not LEAST_SIDE <= pixels <= MAX_SIDE:
        raise ValueError(f"{name} = {pixels}: must be a multiple of {FOLDED}, from {LEAST_SIDE} to {MAX_SIDE}")
    if pixels == stride:
        raise ValueError(f"{name} = {pixels} is one token at the VAE's stride {stride}: there must be at least two")


def fault(error: ValueError) -> str:
    """The first of the faults that a schema finds, in one line: the key's path, what is wrong, and what was given."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    given = first["input"]
    is_short = isinstance(given, str | float | None) or (isinstance(given, int) and abs(given) < 1 << 64)
    got = f" (got {given!r:.100})" if is_short else ""  # Python writes no number of thousands of digits
    more = f" [and {error.error_count() - 1} more]" if error.error_count() > 1 else ""
    return f"{place + ': ' if place else ''}{wrong(first)}{got}{more}"


def wrong(found: Mapping[str, Any]) -> str:
    """What is wrong with one value, of pydantic's facts: in its words, or in a validator's own."""
    return str(found["msg"]).removeprefix("Value error, ")


def parse(tree: Any) -> Params:
    """The typed tree of a parsed params.yaml.

    Raises `ParamsError`, one line with the path of the first wrong key.
    """
    if not isinstance(tree, Mapping):
        raise ParamsError("params.yaml: expected a mapping of sections")
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise ParamsError(f"params.yaml: {fault(error)}") from None
