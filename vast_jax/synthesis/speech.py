"""Made-up speech: random phones, and the mouth that says them with co-articulation.

Each phone asks for a mouth shape, a set of ARKit activations. At any time the shapes around it are averaged, each
weighted by its dominance, which falls off from the middle of its phone (Cohen and Massaro, "Modeling coarticulation in
synthetic visual speech", 1993). Lips that have to meet (B, M, P) do meet, whatever the jaw does.
"""

from typing import NamedTuple

import numpy as np

VOWELS = {  # ARPAbet: mouth shape
    "AA": {"jawOpen": 0.62, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1},
    "AE": {"jawOpen": 0.5, "mouthStretch": 0.25, "mouthUpperUp": 0.2, "mouthLowerDown": 0.25},
    "AH": {"jawOpen": 0.38, "mouthLowerDown": 0.15},
    "AO": {"jawOpen": 0.48, "mouthFunnel": 0.45},
    "EH": {"jawOpen": 0.36, "mouthStretch": 0.2, "mouthUpperUp": 0.15, "mouthLowerDown": 0.2},
    "ER": {"jawOpen": 0.22, "mouthFunnel": 0.3, "mouthPucker": 0.1},
    "IH": {"jawOpen": 0.22, "mouthStretch": 0.2, "mouthLowerDown": 0.25, "mouthUpperUp": 0.1},
    "IY": {"jawOpen": 0.14, "mouthStretch": 0.3, "mouthSmile": 0.25, "mouthLowerDown": 0.3, "mouthUpperUp": 0.15},
    "OW": {"jawOpen": 0.34, "mouthFunnel": 0.35, "mouthPucker": 0.4},
    "UH": {"jawOpen": 0.22, "mouthPucker": 0.4, "mouthFunnel": 0.2},
    "UW": {"jawOpen": 0.16, "mouthPucker": 0.75, "mouthFunnel": 0.2},
}
_ALVEOLAR = {"jawOpen": 0.12, "mouthLowerDown": 0.2, "mouthUpperUp": 0.1}
_SIBILANT = {"jawOpen": 0.05, "mouthStretch": 0.15, "mouthLowerDown": 0.35, "mouthUpperUp": 0.2}
_PROTRUDED = {"jawOpen": 0.07, "mouthFunnel": 0.5, "mouthLowerDown": 0.15, "mouthUpperUp": 0.15}
_LABIODENTAL = {"jawOpen": 0.08, "mouthRollLower": 0.35, "mouthUpperUp": 0.3}
_BILABIAL = {"jawOpen": 0.08, "mouthPress": 0.3, "mouthRollLower": 0.1, "mouthRollUpper": 0.1}
_VELAR = {"jawOpen": 0.2, "mouthLowerDown": 0.1}
CONSONANTS = {
    **{name: _BILABIAL for name in ("B", "M", "P")},
    **{name: _LABIODENTAL for name in ("F", "V")},
    **{name: _SIBILANT for name in ("S", "Z")},
    **{name: _PROTRUDED for name in ("SH", "CH", "JH")},
    **{name: _ALVEOLAR for name in ("T", "D", "N")},
    **{name: _VELAR for name in ("G", "K")},
    "L": {"jawOpen": 0.24, "mouthLowerDown": 0.15, "mouthUpperUp": 0.1},
    "TH": {"jawOpen": 0.14, "mouthLowerDown": 0.2, "mouthUpperUp": 0.15},
    "R": {"jawOpen": 0.14, "mouthFunnel": 0.3, "mouthPucker": 0.15},
    "W": {"jawOpen": 0.1, "mouthPucker": 0.7, "mouthFunnel": 0.15},
    "HH": {"jawOpen": 0.2},
}
SILENCE = "SIL"
MOUTH_SHAPES = VOWELS | CONSONANTS | {SILENCE: {"jawOpen": 0.01}}
CLOSED = frozenset("BMP")
SYLLABLE = (0.12, 0.45, 0.43)  # share of syllables of the form V, CV and CVC
RATE = (10.0, 15.0)  # phones a second
PAUSE = (0.15, 0.5)  # seconds
REACH = 0.045  # seconds, how far a phone's dominance reaches beyond its steady part
CLOSURE_RAMP = 0.045  # seconds in which lips close or part
_PARTS_LIPS = ("mouthUpperUp", "mouthLowerDown", "mouthFunnel", "mouthStretch", "mouthSmile")


class Phone(NamedTuple):
    """A phone and when it is heard, in seconds."""

    name: str
    start: float
    stop: float


def random_phones(rng: np.random.Generator, seconds: float, rate: float | None = None) -> tuple[Phone, ...]:
    """Syllables in phrases of 3 to 10 with pauses between, `rate` phones a second within a phrase, for `seconds`."""
    rate = rng.uniform(*RATE) if rate is None else rate
    time = rng.uniform(0.1, 0.25)
    phones = [Phone(SILENCE, 0.0, time)]
    while time < seconds:
        for _ in range(rng.integers(3, 11)):
            form = rng.choice(3, p=SYLLABLE)
            names = [rng.choice(list(CONSONANTS))] * (form > 0) + [rng.choice(list(VOWELS))]
            names += [rng.choice(list(CONSONANTS))] * (form > 1)
            for name in names:
                length = rng.uniform(0.8, 1.2) / rate * (1.15 if name in VOWELS else 0.85)
                phones.append(Phone(str(name), time, time + length))
                time += length
        pause = rng.uniform(*PAUSE)
        phones.append(Phone(SILENCE, time, time + pause))
        time += pause
    kept = [phone for phone in phones if phone.start < seconds]
    return (*kept[:-1], kept[-1]._replace(stop=seconds))


def mouth_shapes(phones: tuple[Phone, ...], times: np.ndarray, effort: float = 1.0) -> dict[str, np.ndarray]:
    """ARKit activations [T] by name, "Left" and "Right" left out, of the mouth that says `phones` at `times` [T].

    effort: 1 is clear speech, less mumbles; closures close at any effort.
    """
    centre = np.array([(phone.start + phone.stop) / 2 for phone in phones])
    steady = np.array([(phone.stop - phone.start) / 4 for phone in phones])
    distance = np.abs(times[:, None] - centre)
    dominance = np.exp(-((np.maximum(distance - steady, 0) / REACH) ** 2)) + 1e-9 * np.exp(-distance)
    dominance /= dominance.sum(1, keepdims=True)
    names = sorted({name for shape in MOUTH_SHAPES.values() for name in shape})
    target = np.array([[MOUTH_SHAPES[phone.name].get(name, 0.0) for name in names] for phone in phones])
    shapes = dict(zip(names, effort * (dominance @ target).T, strict=True))
    closed = closure(phones, times)
    for name in _PARTS_LIPS:
        shapes[name] = shapes[name] * (1 - closed)
    # mouthClose brings the lips together over an open jaw: as much of it as there is jaw opening closes them.
    return shapes | {"mouthClose": closed * shapes["jawOpen"]}


def closure(phones: tuple[Phone, ...], times: np.ndarray) -> np.ndarray:
    """How far the lips are closed at `times` [T] by B, M, P and silence: 1 meets, 0 leaves them to the mouth shapes."""
    closed = np.zeros(len(times))
    for phone in phones:
        if phone.name in CLOSED or phone.name == SILENCE:
            outside = np.maximum(phone.start - times, times - phone.stop)
            hold = 0.25 * min(phone.stop - phone.start, 2 * CLOSURE_RAMP)  # the ramp begins inside the phone
            t = np.clip(1 - (outside + hold) / CLOSURE_RAMP, 0, 1)
            closed = np.maximum(closed, t * t * (3 - 2 * t))
    return closed
