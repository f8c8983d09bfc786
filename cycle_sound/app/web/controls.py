"""The controls that tabs share: how tokens are drawn, by what else they are steered, and how long a picture sounds."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import gradio as gr
from pydantic import ValidationError

from cycle_sound.errors import BadInput
from cycle_sound.inference.system import CycleSound
from cycle_sound.params import Direction, SamplingConfig, SamplingConfigs, fault

MAX_SEED = (1 << 31) - 1  # that a number field of a browser sends exactly
MAX_LENGTH = 30  # seconds that a picture sounds: fifty windows, one after another, take half a minute
TITLES: dict[Direction, str] = {"audio_to_image": "Sound → picture", "image_to_audio": "Picture → sound"}
STEERING = "Less of one thing, some of another"
OTHER_PICTURE = partial(gr.Image, sources=["upload", "clipboard"], height=200)
SOUND = partial(gr.Audio, type="filepath", editable=False, buttons=["download"])  # gradio would share with its makers
OTHER_SOUND = partial(SOUND, sources=["upload"])

Control = gr.Number | gr.Slider | gr.Checkbox


class SamplingRequest(NamedTuple):
    """What the controls of `sampling` are set to."""

    seed: int  # of the first result; the seeds of the others follow
    results: int  # per source
    sampling: SamplingConfigs


def sampling(own: SamplingConfigs) -> list[Control]:
    """The inputs that `request` reads: seed, results, then the sliders of each direction."""
    controls: list[Control] = [
        gr.Number(
            0, label="Seed", precision=0, minimum=0, maximum=MAX_SEED, info="The same seed gives the same result."
        ),
        gr.Slider(
            1, 4, 1, step=1, label="Results", info="For each source, with the seeds that follow; one of a cycle."
        ),
    ]
    for direction, title in TITLES.items():
        with gr.Accordion(title, open=False):
            controls += _sliders(own[direction])
    return controls


def request(values: Sequence[float]) -> SamplingRequest:
    """The values of `sampling` as a request. Raises `BadInput` for one that no slider has but somebody may type."""
    seed, results, *sliders = values
    count = len(SamplingConfig.model_fields)
    parts = [_sampling(*sliders[:count]), _sampling(*sliders[count:])]
    return SamplingRequest(int(seed), int(results), SamplingConfigs(**dict(zip(TITLES, parts, strict=True))))


def steering(
    component: Callable[..., gr.components.Component], used: str = ""
) -> tuple[list[gr.components.Component], gr.Slider]:
    """The inputs of other sources, unlike and blend, and the share of the latter; `used`: how much of them counts."""
    with gr.Accordion(STEERING, open=False), gr.Row():
        unlike = component(label=f"Unlike: less of this{used}; the higher the guidance, the stronger")
        with gr.Column():
            blend = component(label=f"Blend: mix this in{used}")
            share = gr.Slider(0, 1, 0.5, step=0.05, label="Share", info="Its weight in the mixture.")
    return [unlike, blend], share


def length(system: CycleSound) -> gr.Slider:
    """How long a picture sounds."""
    info = f"Each part continues the one before; figures are for the first. 0: one clip, {system.seconds:.1f} s."
    return gr.Slider(0, MAX_LENGTH, 0, step=1, label="Seconds", info=info)


def _sliders(sampling: SamplingConfig) -> list[gr.Slider]:
    """A slider for each field of `SamplingConfig`, in their order, which reaches the models' own value."""
    return [
        _slider(0, 2, sampling.temperature, step=0.05, label="Temperature", info="0: always the likeliest code."),
        _slider(0, 256, sampling.top_k, step=1, label="Top k", info="Sample from the k likeliest codes; 0: from all."),
        _slider(0.05, 1, sampling.top_p, step=0.05, label="Top p", info="From the likeliest, of this probability."),
        _slider(0, 6, sampling.guidance, step=0.25, label="Guidance", info="How strongly to follow the source."),
        _slider(1, 16, sampling.candidates, step=1, label="Candidates", info="The best of so many draws is kept."),
    ]


def _slider(least: float, most: float, own: float, **how: Any) -> gr.Slider:
    """A slider that starts at a value, which may lie outside its usual range."""
    return gr.Slider(min(least, own), max(most, own), own, **how)


def _sampling(temperature: float, top_k: float, top_p: float, guidance: float, candidates: float) -> SamplingConfig:
    try:
        return SamplingConfig(
            temperature=temperature, top_k=int(top_k), top_p=top_p, guidance=guidance, candidates=int(candidates)
        )
    except ValidationError as error:
        raise BadInput(fault(error)) from None
