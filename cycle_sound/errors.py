"""Every error that a user can mend, in one tree.

A stage or a command that ends in a `UserError`, or in what the system says of a file or a disk, prints one line and no
traceback; any other exception is a fault of the program and keeps its traceback.

The sentences of errors raised by code that trainings, sharding or evaluation depend on stand here, as the class's
`text`, which the facts given to `raise` fill in. No stage depends on this module, so rewording a sentence reruns
nothing. Other errors are raised with their whole message. `BadPicture` and `BadSound` must be: the manifest keeps what
they say as the reason why a clip was rejected.
"""

from typing import Any, ClassVar


class UserError(ValueError):
    """The base of all errors that a user can mend; `str(error)` says what is wrong and where.

    A subclass with a `text` is raised with exactly the facts that the text names; one without, with its whole message.
    """

    text: ClassVar[str] = ""

    def __init__(self, message: str = "", /, **facts: Any) -> None:
        super().__init__(message or self.text.format(**facts))  # as the one argument, which pickling keeps


def told(error: UserError | OSError) -> str:
    """What is wrong and where, for the one line in which a stage or a command ends."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


class ParamsError(UserError):
    """Wrong content of params.yaml; the message names the key."""


class MissingPackage(UserError):
    """A package of one of the optional extras is not installed."""

    text = "{feature} needs {package}: pip install 'cycle-sound[{extra}]'"


# --- files


class DiskFull(UserError):
    """A file for which there is no space, or no quota, left."""

    text = "{path}: {reason}: it takes {needed}, and {free} are free"


class BadTar(UserError):
    """Content that cannot be read as a tar; the message says why."""


# --- obtaining data


class BadSource(UserError):
    """Something that a setting below `data` points at is missing or malformed; the message names it."""


class BadManifest(UserError):
    """A file that is no manifest, or one of another version of this program."""

    text = "{path}: not a manifest of this version; run the download stage again"


class ChangedOriginal(UserError):
    """A file of a pair that is not the one which the manifest names."""

    text = "{path}: not the file that the manifest names; remove it, and the stage that reads it obtains it again"


class LostOriginals(UserError):
    """Pairs of the manifest that the source does not give any more."""

    text = (
        "{count} pairs of data/raw/manifest.csv are not here, and the source does not give them any more "
        "({name}: {reason}): `dvc repro --force download` takes what it gives now"
    )


class NetworkGone(UserError):
    """So many downloads in a row had no answer that the rest is left for a later run."""

    text = (
        "{clips} clips in a row could not be fetched ({reason}): is the network there? "
        "`dvc repro` goes on where this stopped; data.vggsound.url '' goes on with what is at hand"
    )


class TooManyRejected(UserError):
    """A larger fraction of the clips was rejected than data.max_rejected allows."""

    text = "{rejected} of {asked} clips rejected, {fraction:.0%}; data.max_rejected is {allowed:.0%}: {reasons}"


class NoPairs(UserError):
    """No pair of a split was accepted."""

    text = "no {split} pairs are left of {asked} clips asked for ({fates})"


class BadPicture(UserError):
    """Content that cannot be used as a picture; the message says why."""


class BadSound(UserError):
    """Content that cannot be used as a sound; the message says why."""


class BadFilm(UserError):
    """Content that cannot be used as a film; the message says why."""


# --- sharding


class EmptySplit(UserError):
    """A split that would hold no pairs."""

    text = "the {split} split is empty: bring more clips, from more sources"


class BadShard(UserError):
    """A shard, or their index, that holds something else than this program writes."""

    text = "{path}: not a shard of this version: {reason}; remove it and run the shard stage again"


class MissingModality(UserError):
    """A picture or a sound asked for of a clip that has the other alone."""

    text = "{clip}: the clip has no {modality}, and one is needed here"


class NoCluster(UserError):
    """The Dask scheduler that the environment names cannot be used."""

    text = "CYCLE_SOUND_DASK: no Dask scheduler with a worker answers at {address}"


class StaleWorker(UserError):
    """A cluster's worker that has loaded other code or packages than the stage it works for."""

    text = "a worker runs other code or other packages than this stage: start it anew"


class WorkerLost(UserError):
    """Worker processes die over a job, also where it is alone, or take too long."""

    text = "workers die again and again over {job}: out of memory, or a broken file?"


# --- training


class UnevenBatch(UserError):
    """A batch that cannot be divided evenly among processes and backward passes."""

    text = "batch_size {batch_size} does not divide into {processes} processes × accumulation {accumulation}"


class LoaderLost(UserError):
    """A process that makes a training's batches has died."""

    text = (
        "a process that makes batches was killed: out of memory, or of shared memory? "
        "Lower loader.workers; with 0 a thread makes them"
    )


class TrainingDiverged(UserError):
    """A figure of a training that is not finite."""

    text = "{training}: {figure} is {value} at step {step}. Lower learning_rate, or raise warmup"


class CodebookCollapse(UserError):
    """Too small a fraction of a codebook is in use."""

    text = (
        "vae.{modality}: {usage:.0%} of the codebook is in use, less than min_usage {min_usage:.0%}. "
        "Raise balance_weight, lower codebook_size or learning_rate, or train for more steps"
    )


class MissingWeights(UserError):
    """VGG16's weights, which the perceptual distance needs, cannot be had."""

    text = (
        "vae.*.perceptual_weight needs VGG16's weights: {reason}. "
        "Give a file in vae.*.perceptual_weights, or set the weight to 0"
    )


class UnknownNetwork(UserError):
    """A network of no known name, or one whose features are not known."""

    text = (
        "features: {name!r:.100} is no network that is known: "
        "efficientnet_lite0, or a classifier of torchvision that ends in average pooling, such as resnet18"
    )


class MissingNetwork(UserError):
    """The weights of a network whose features are wanted cannot be had."""

    text = "features: the weights of {network}: {reason}. Give a file of them in `weights`, beside `network`"


class BadTokens(UserError):
    """Files that do not hold cached tokens."""

    text = "{path}: not tokens of this version: {reason}; run the cache_tokens stage again"


class BadFeatures(UserError):
    """Files that do not hold cached features."""

    text = "{path}: not features of this version: {reason}; run the cache_features stage again"


class BadPairing(UserError):
    """Files that do not hold an audit, or which pairs it leaves."""

    text = "{path}: not of an audit of this version: {reason}; run the audit_pairs and drop_pairs stages again"


class TooFewGroups(UserError):
    """Groups of clips that do not make two halves, of which each can judge the other."""

    text = "the audit needs two pairs or more in each half of the training groups, and there are {one} and {other}"


class StaleCache(UserError):
    """Cached tokens, features or kept pairs made by another model or from other shards than those given."""

    text = "{path}: made with other {what} ({found}, not {wanted})"


# --- models and samples


class WrongModality(UserError):
    """Something else than the sounds or the pictures that are wanted; the message says what."""


class BadDraw(UserError):
    """A way to draw that there is not: a seed, a number, a length, or how tokens are drawn; the message names it."""


class BadSteering(UserError):
    """Another source that cannot have the say in a draw that it is given; the message says why."""


class BadCheckpoint(UserError):
    """A file of a model that is missing or cannot be used; the subclasses say why."""


class MissingCheckpoint(BadCheckpoint):
    """No file where a model is expected."""

    text = "{path}: no such model; `dvc repro` makes it"


class NoSafetensors(BadCheckpoint):
    """A file that is not in the safetensors format."""

    text = "{path}: not a safetensors file: {reason}"


class WrongKind(BadCheckpoint):
    """A checkpoint of another kind of model, or of another program (kind None)."""

    text = "{path}: holds a model of kind {found}, not {wanted}"


class OtherVersion(BadCheckpoint):
    """A checkpoint whose facts or weights this version of the program does not know, or does not allow."""

    text = "{path}: a model of another version of this program: {reason}"


class OtherInit(BadCheckpoint):
    """A model that a training cannot go on from: it is another one than params.yaml describes."""

    text = "{key}: {path}: its {what} is {found}; params.yaml asks for {wanted}"


class MixedInit(BadCheckpoint):
    """A transformer that a training cannot go on from: it knows the codes of another VAE than that which is in use."""

    text = "{key}: {path}: knows the codes of another VAE than init.vae.{modality} names; name both in one folder"


class MisplacedInit(BadCheckpoint):
    """A model that a training is to go on from, in the very folder that such models are copied to."""

    text = "{key}: {path}: lies in {folder}, whose files the stage import_models replaces: move it away"


class OtherDigest(BadCheckpoint):
    """A file of an exported folder that is not the one which the folder's card describes."""

    text = "{path}: not the file that {card} describes; export the models again"


class MixedModels(UserError):
    """A model beside a VAE, or a network of features, other than that which it was trained with."""

    text = "{model}: trained with another {what} than {path}; rebuild or copy both"


class NoModels(UserError):
    """A folder that is neither a project's data nor exported models."""

    text = "{folder}: no models here; `dvc repro` makes a project's data/, an exported folder has a card.json"


class NoDevice(UserError):
    """A device that models cannot be put on."""

    text = "{device}: {reason}"


class HubRefused(UserError):
    """Something that the Hugging Face Hub does not give or take, or that is not wanted from it."""

    text = "{name} on the Hugging Face Hub: {reason}"


class BadCard(NoModels):
    """A card.json that does not describe exported models."""

    text = "{path}: not a card of models: {reason}"


class BadConfidence(UserError):
    """A file that does not hold a fitted confidence."""

    text = "{path}: not a confidence of this version: {reason}; run the fit_confidence stage again"


class NoConfidence(UserError):
    """Models without a fitted confidence, where one is asked for."""

    text = (
        "{folder}: no confidence comes with these models; "
        "`dvc repro fit_confidence` fits one to a project's, where its data have labels"
    )


class BadSamples(UserError):
    """A file that does not hold the samples of an evaluation."""

    text = "{path}: does not hold samples; run the evaluate stage again"


# --- the command line and the page


class BadInput(UserError):
    """A file or folder that cannot be used; the message names it and says why."""


class BadTarget(UserError):
    """A file or folder that must not be written to; the message names it and says why."""


class BadLogin(UserError):
    """A page that other machines could enter without a password, or no password; the message says which."""
