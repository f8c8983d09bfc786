"""Every error that a user can fix, in one tree.

A stage or a command that ends with a `UserError`, or with an OSError about a file or a disk, prints one line and no
traceback; any other exception is a bug and keeps its traceback.

Errors raised by code that trainings, sharding or evaluation depend on have their message here, as the class's `text`,
into which the facts given to `raise` are filled. No stage depends on this module, so rewording a message re-runs
nothing. Other errors are raised with their whole message. `BadPicture` and `BadSound` must be: the manifest keeps their
message as the reason why a clip was rejected.
"""

from typing import Any, ClassVar


class UserError(ValueError):
    """The base of all errors that a user can fix; `str(error)` says what is wrong and where.

    A subclass with a `text` is raised with exactly the facts that the text names, one without with its whole message.
    """

    text: ClassVar[str] = ""

    def __init__(self, message: str = "", /, **facts: Any) -> None:
        super().__init__(message or self.text.format(**facts))  # as the one argument, which pickling keeps
        self.facts = facts


def told(error: UserError | OSError) -> str:
    """What is wrong and where, for the one line with which a stage or a command ends."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


class ParamsError(UserError):
    """Something wrong in params.yaml; the message names the key."""


class MissingPackage(UserError):
    """A package of one of the optional extras is not installed."""

    text = "{feature} needs {package}: pip install 'cycle-sound[{extra}]'"


# --- files


class DiskFull(UserError):
    """There is no space, or no quota, left for a file."""

    text = "{path}: {reason}: it takes {needed}, but only {free} are free"


class BadTar(UserError):
    """Content that cannot be read as a tar archive; the message says why."""


# --- obtaining data


class BadSource(UserError):
    """Something that a setting below `data` points at is missing or malformed; the message names it."""


class BadManifest(UserError):
    """A file that is not a manifest, or one of another version of this program."""

    text = "{path}: not a manifest of this version; run the download stage again"


class ChangedOriginal(UserError):
    """A file of a pair whose SHA-256 is not the one in the manifest."""

    text = "{path}: not the file that the manifest names; remove it, and the stage that needs it will obtain it again"


class LostOriginals(UserError):
    """Pairs of the manifest that the source no longer provides."""

    text = (
        "{count} pairs of data/raw/manifest.csv are missing, and the source no longer provides them "
        "({name}: {reason}): to use what it provides now, run `dvc repro --force download`"
    )


class NetworkGone(UserError):
    """Too many downloads in a row had no answer; the rest is left for a later run."""

    text = (
        "{clips} clips in a row could not be fetched ({reason}): is the network up? "
        "`dvc repro` resumes where this stopped; set data.vggsound.url to '' to use only the clips already there"
    )


class StoreInUse(UserError):
    """A folder into which another run is fetching clips."""

    text = "{store}: another run is fetching into this folder; try again once it has ended"


class TooManyRejected(UserError):
    """A larger fraction of the clips was rejected than data.max_rejected allows."""

    text = "{rejected} of {asked} clips rejected, {fraction:.0%}; data.max_rejected is {allowed:.0%}: {reasons}"


class NoPairs(UserError):
    """No pair of a split was accepted."""

    text = "no {split} pairs are left of {asked} requested clips ({fates})"


class BadPicture(UserError):
    """Content that cannot be used as a picture; the message says why."""


class BadSound(UserError):
    """Content that cannot be used as a sound; the message says why."""


class BadFilm(UserError):
    """Content that cannot be used as a film; the message says why."""


# --- sharding


class EmptySplit(UserError):
    """A split that would hold no pairs."""

    text = "the {split} split is empty: add more clips, from more groups"


class BadShard(UserError):
    """A shard, or the index of the shards, that is not as this program writes it."""

    text = "{path}: not a shard of this version: {reason}; remove it and run the shard stage again"


class MissingModality(UserError):
    """A picture or a sound is needed of a clip that has only the other."""

    text = "{clip}: has no {modality}, which is needed here"


class NoCluster(UserError):
    """The Dask scheduler that the environment names cannot be used."""

    text = "CYCLE_SOUND_DASK: no Dask scheduler with a worker answers at {address}"


class StaleWorker(UserError):
    """A worker of a cluster that has loaded other code or packages than the stage it works for."""

    text = "a worker runs different code or packages than this stage: restart it"


class WorkerLost(UserError):
    """Worker processes die during a job, even if it runs alone, or take too long."""

    text = "workers keep dying during {job}: out of memory, or a broken file?"


# --- training


class UnevenBatch(UserError):
    """A batch that cannot be divided evenly among processes and backward passes."""

    text = "batch_size {batch_size} does not divide into {processes} processes × accumulation {accumulation}"


class LoaderLost(UserError):
    """A process that makes batches for a training has died."""

    text = (
        "a process that makes batches was killed: out of memory, or of shared memory? "
        "Lower loader.workers; at 0 a thread makes them"
    )


class TrainingDiverged(UserError):
    """A figure of a training is not finite."""

    text = "{training}: {figure} is {value} at step {step}. Lower learning_rate, or raise warmup"


class CodebookCollapse(UserError):
    """Too few codes of a codebook are in use."""

    text = (
        "vae.{modality}: {usage:.0%} of the codebook is in use, less than min_usage allows ({least:.0%}). "
        "Raise balance_weight, lower codebook_size or learning_rate, or train for more steps"
    )


class MissingWeights(UserError):
    """VGG16's weights, which the perceptual distance needs, cannot be obtained."""

    text = (
        "vae.*.perceptual_weight needs VGG16's weights: {reason}. "
        "Give a file in vae.*.perceptual_weights, or set the weight to 0"
    )


class UnknownNetwork(UserError):
    """A network with an unknown name, or one from which features cannot be taken."""

    text = (
        "features: unknown network {name!r:.100}: choose efficientnet_lite0, "
        "or a classifier of torchvision that ends in average pooling, such as resnet18"
    )


class MissingNetwork(UserError):
    """The weights of a pretrained network cannot be obtained."""

    text = (
        "features: cannot obtain the weights of {network}: {reason}. "
        "Name a file that holds them in `weights`, next to `network`"
    )


class BadTokens(UserError):
    """Files that do not hold cached tokens."""

    text = "{path}: not tokens of this version: {reason}; run the cache_tokens stage again"


class BadFeatures(UserError):
    """Files that do not hold cached features."""

    text = "{path}: not features of this version: {reason}; run the cache_features stage again"


class BadPairing(UserError):
    """Files that hold neither an audit nor the pairs that it keeps."""

    text = "{path}: not from an audit of this version: {reason}; run the audit_pairs and drop_pairs stages again"


class TooFewGroups(UserError):
    """Too few groups of clips for two halves that can judge each other."""

    text = "the audit needs at least two pairs in each half of the training groups, but there are {one} and {other}"


class StaleCache(UserError):
    """Cached tokens, features or kept pairs that were made by another model or from other shards."""

    text = "{path}: made with {what} {found}, not {wanted}"


# --- models and samples


class WrongModality(UserError):
    """An argument that is not a sound or a picture as required; the message says what it is."""


class BadDraw(UserError):
    """An invalid seed, number of results, length or sampling configuration; the message names it."""


class BadSteering(UserError):
    """Another source that cannot steer sampling as asked; the message says why."""


class BadCheckpoint(UserError):
    """A model file that is missing or cannot be used; the subclasses say why."""


class MissingCheckpoint(BadCheckpoint):
    """There is no file where a model is expected."""

    text = "{path}: no such model; `dvc repro` makes it"


class NoSafetensors(BadCheckpoint):
    """A file that is not in the safetensors format."""

    text = "{path}: not a safetensors file: {reason}"


class WrongKind(BadCheckpoint):
    """A checkpoint of another kind of model, or of another program (kind None)."""

    text = "{path}: holds a model of kind {found}, not {wanted}"


class OtherVersion(BadCheckpoint):
    """A checkpoint with facts or weights that this version of the program does not know or allow."""

    text = "{path}: a model of another version of this program: {reason}"


class OtherInit(BadCheckpoint):
    """A model from which a training cannot start: it is not the one that params.yaml describes."""

    text = "{key}: {path}: its {what} is {found}; params.yaml asks for {wanted}"


class NotEmptied(UserError):
    """What lies where models are to be copied, and cannot be removed: a training would begin from it."""

    text = "{path}: cannot be removed, and a training would begin from it: remove it, or the link that leads to it"


class MixedInit(BadCheckpoint):
    """A transformer from which a training cannot start: it knows the codes of another VAE than the one in use."""

    text = (
        "{key}: {path}: trained with another VAE than the one that init.vae.{modality} names: "
        "both must come from the same folder"
    )


class MisplacedInit(BadCheckpoint):
    """A model from which a training is to start, in the very folder to which such models are copied."""

    text = "{key}: {path}: lies in {folder}, whose files the stage import_models replaces: move it away"


class OtherDigest(BadCheckpoint):
    """A file of an exported folder that is not the one that the folder's card describes."""

    text = "{path}: not the file that {card} describes; export the models again"


class MixedModels(UserError):
    """A model next to another VAE or pretrained network than the one it was trained with."""

    text = "{model}: trained with another {what} than {path}; rebuild or copy both"


class NoModels(UserError):
    """A folder that holds neither a project's data nor exported models."""

    text = "{folder}: no models here; `dvc repro` makes a project's data/, an exported folder has a card.json"


class NoDevice(UserError):
    """A device on which models cannot run."""

    text = "{device}: {reason}"


class HubRefused(UserError):
    """A download or upload that the Hugging Face Hub refuses, or content from it that is not accepted."""

    text = "{name} on the Hugging Face Hub: {reason}"


class NeitherHere(HubRefused):
    """A name of models that the Hub refuses and no folder has."""

    text = "{refusal}; there is no folder of that name here"


class BadCard(NoModels):
    """A card.json that does not describe exported models."""

    text = "{path}: not a card of models: {reason}"


class BadConfidence(UserError):
    """A file that does not hold a fitted confidence."""

    text = "{path}: not a fitted confidence of this version: {reason}; run the fit_confidence stage again"


class NoConfidence(UserError):
    """Models without a fitted confidence, when one is requested."""

    text = (
        "{folder}: no confidence comes with these models; "
        "`dvc repro fit_confidence` fits one to a project's models, if its data has labels"
    )


class BadSamples(UserError):
    """A file that does not hold the samples of an evaluation."""

    text = "{path}: does not hold samples; run the evaluate stage again"


# --- the command line and the page


class BadInput(UserError):
    """A file or folder that cannot be used; the message names it and says why."""


class BadTarget(UserError):
    """A file or folder that must not be written to; the message names it and says why."""


class BadAddress(UserError):
    """An address at which the page cannot be served; the message names the option and says why."""


class BadLogin(UserError):
    """A missing password for a page that other machines can reach, or a malformed one; the message says which."""
