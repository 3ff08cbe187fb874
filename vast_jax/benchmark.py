"""python -m vast_jax.benchmark [--avatar DIR] [--data DIR]

Milliseconds a frame of each stage on this machine, start-up and compilation apart, as a table (docs/speed.md). Without
data the face is the built-in head speaking the demo.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from vast_jax import __version__, audio, cli, media
from vast_jax.data.pipeline import open_clips
from vast_jax.face.clip_fit import fit_clip
from vast_jax.face.landmarks import Landmarker
from vast_jax.face.mesh_image import mesh_images
from vast_jax.face.rasterise import Camera, camera_of, place
from vast_jax.face.tracking import FOCAL
from vast_jax.generation.avatar_bundle import load_avatar
from vast_jax.generation.generate import load_models, perform
from vast_jax.generation.head_avatar import HeadAvatar
from vast_jax.generation.performance import Models
from vast_jax.generation.prompt import Prompt, read_prompt
from vast_jax.media import FPS
from vast_jax.types import CROP

SHORT, LONG, HOUR = 10 * FPS, 60 * FPS, 3600 * FPS  # frames of speech
FACE_FRAMES = 3 * FPS  # frames of the stages that see or draw a face
REPEATS = 3  # after the first call; their median counts
_ASSETS = resources.files("vast_jax") / "assets"
_PACKAGES = ("jax", "flax", "mediapipe", "numba", "numpy")


@dataclass(frozen=True)
class Args:
    """Milliseconds a frame of each stage on this machine, start-up and compilation apart."""

    avatar: Path | None = None
    """also time the renderer of this avatar"""
    data: Path | None = None
    """prepared footage that gives the face to track and the style prompt; none: the built-in head and the demo"""
    style: str | None = None
    """style weights; none: the shipped ones"""
    acoustic: str | None = None
    """acoustic weights; none: the shipped ones"""


class Timing(NamedTuple):
    """One line of the table."""

    stage: str
    frames: int  # of one call
    start_ms: float  # what the first call takes beyond a later one: compilation, loading
    frame_ms: float  # a frame of a later call


class Footage(NamedTuple):
    """A face to track (N frames), and how it speaks."""

    frames: np.ndarray  # [N, H, W, 3] uint8
    camera: Camera
    prompt: Prompt


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: benchmark(cli.parse(Args, argv, prog="python -m vast_jax.benchmark")))


def benchmark(args: Args) -> list[Timing]:
    """Times all stages and prints the table. Raises UserError: missing weights or data."""
    started = time.perf_counter()
    models = load_models(args.style, args.acoustic)
    loading = Timing("loading the models", 0, 1000 * (time.perf_counter() - started), 0.0)
    speech = media.read_speech(str(_ASSETS / "demo_speech.flac"))
    footage = _footage(args.data, models, speech)
    timings = [loading, *_faces(models, footage), *_speech(models, speech, footage.prompt)]
    performance = perform(models, speech, FACE_FRAMES, footage.prompt)
    head = HeadAvatar(models.face)
    stage = f"built-in avatar: mesh and shading, {head.size[0]} px"
    timings.append(time_stage(stage, FACE_FRAMES, lambda: _drain(head.frames(performance))))
    if args.avatar:
        actor = load_avatar(args.avatar, models.face, models.acoustic)
        stage = f"trained avatar: mesh image and renderer, {CROP} px"
        timings.append(time_stage(stage, FACE_FRAMES, lambda: _drain(actor.frames(performance))))
    timings.append(_encoding(head.size, next(head.frames(performance))))
    print(table(timings))
    return timings


def time_stage(stage: str, frames: int, call: Callable[[], object], repeats: int = REPEATS) -> Timing:
    """Times a first and some later calls; what they return must be finished, not on its way."""
    print(f"timing {stage}", file=sys.stderr, flush=True)
    jax.clear_caches()  # so that the first call compiles, whatever ran before
    seconds = []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    later = statistics.median(seconds[1:])
    return Timing(stage, frames, 1000 * max(seconds[0] - later, 0), 1000 * later / frames)


def table(timings: Iterable[Timing]) -> str:
    """Markdown, with the machine and the versions beneath."""
    lines = ["| stage | ms a frame | start-up, ms | measured on |", "| --- | ---: | ---: | --- |"]
    for stage, frames, start_ms, frame_ms in timings:
        size = f"{frames} frames ({frames / FPS:g} s)" if frames else ""
        lines.append(f"| {stage} | {f'{frame_ms:.2f}' if frames else ''} | {start_ms:.0f} | {size} |")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    device = jax.devices()[0]
    where = f"{os.cpu_count()} CPU cores, {platform.machine()}; JAX on {device.device_kind}"
    return "\n".join([*lines, "", f"{where}; vast_jax {__version__}, Python {platform.python_version()}, {versions}."])


def _footage(data: Path | None, models: Models, speech: np.ndarray) -> Footage:
    if data is not None:
        clip = max(open_clips(data, "train"), key=lambda clip: (clip.has_speech, min(len(clip), SHORT)))
        track = clip.track
        prompt = Prompt(track.expression, clip.ppg, clip.has_speech, track.face_model, clip.ppg_hash, clip.name)
        return Footage(clip.frames(0, FACE_FRAMES), camera_of(track), prompt)
    prompt = read_prompt(Path(str(_ASSETS / "demo.style")), models.face, models.acoustic)
    head = HeadAvatar(models.face, size=CROP)
    frames = np.stack(list(head.frames(perform(models, speech, FACE_FRAMES, prompt))))
    camera = Camera(FOCAL * CROP, CROP / 2, CROP / 2)  # what the tracker assumes of any video
    return Footage(frames, camera, prompt)


def _faces(models: Models, footage: Footage) -> list[Timing]:
    """From frames to a track, and from a track to mesh images."""
    count = len(footage.frames)
    started = time.perf_counter()
    with Landmarker(num_faces=1) as landmarker:
        opening = 1000 * (time.perf_counter() - started)
        detect = time_stage("face landmarks", count, lambda: [landmarker.detect(frame) for frame in footage.frames])
        found = [landmarker.detect(frame) for frame in footage.frames]
    seen = np.array([bool(faces) for faces in found])
    landmarks = np.stack([faces[0] for faces in found if faces])[np.maximum(np.cumsum(seen) - 1, 0)]
    tracking = time_stage("face tracking", count, lambda: fit_clip(models.face, landmarks, seen, footage.camera))
    track = fit_clip(models.face, landmarks, seen, footage.camera)

    def draw() -> np.ndarray:
        vertices = place(models.face, *track)
        return mesh_images(models.face, vertices, footage.camera)

    detect = detect._replace(start_ms=detect.start_ms + opening)
    return [detect, tracking, time_stage(f"mesh image, {CROP} px", count, draw)]


def _speech(models: Models, speech: np.ndarray, prompt: Prompt) -> list[Timing]:
    """From speech and a prompt to expression."""
    signal = np.resize(speech, LONG * audio.SAMPLES_PER_FRAME)
    short, hour = audio.fit(signal, SHORT), np.resize(speech, HOUR * audio.SAMPLES_PER_FRAME)
    style = models.style.encode(prompt.expression, prompt.ppg, prompt.has_speech)
    ppg = models.acoustic(signal, LONG)
    return [
        time_stage("filter bank", SHORT, lambda: audio.log_fbank(short)),
        time_stage("filter bank and PPG, 10 s", SHORT, lambda: models.acoustic(short, SHORT)),
        time_stage("filter bank and PPG, an hour", HOUR, lambda: models.acoustic(hour, HOUR), repeats=1),
        time_stage(
            "style encoding, a frame of the prompt",
            len(prompt.expression),
            lambda: np.asarray(models.style.encode(prompt.expression, prompt.ppg, prompt.has_speech)),
        ),
        time_stage("expression, 10 s", SHORT, lambda: np.asarray(models.style.decode(ppg[:SHORT], style))),
        time_stage("expression, 60 s", LONG, lambda: np.asarray(models.style.decode(ppg, style))),
    ]


def _encoding(size: tuple[int, int], frame: np.ndarray) -> Timing:
    rng = np.random.default_rng(0)
    moving = [np.roll(frame, rng.integers(-2, 3), axis=1) for _ in range(SHORT)]
    silence = np.zeros(SHORT * audio.SAMPLES_PER_FRAME, np.float32), audio.SAMPLE_RATE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        return time_stage(
            f"video encoding, {size[0]} px", SHORT, lambda: media.write_video(path, moving, size, silence)
        )


def _drain(frames: Iterable[np.ndarray]) -> None:
    for _ in frames:
        pass


if __name__ == "__main__":
    main()
