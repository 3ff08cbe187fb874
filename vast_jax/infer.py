"""python infer.py --speech a.wav --prompt b.mp4 --avatar DIR --out c.mp4

An avatar speaks your words in the facial style of a short video. Without arguments: the shipped demo.
"""

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from vast_jax import __version__, cli, media
from vast_jax.animation import curves, export
from vast_jax.animation.live_link import read_csv
from vast_jax.audio import PHONES, SAMPLE_RATE, fit, video_frames
from vast_jax.face.following import check_choice
from vast_jax.generation import avatar_bundle, footage_range, style_mix
from vast_jax.generation.generate import load_models, perform, style_of
from vast_jax.generation.head_avatar import HeadAvatar
from vast_jax.generation.performance import Avatar, Models, Performance
from vast_jax.generation.prompt import DEMO_STYLE, read_prompt, save_style
from vast_jax.types import UserError

DEMO_SPEECH = Path(str(resources.files("vast_jax") / "assets" / "demo_speech.flac"))


@dataclass(frozen=True)
class Speech:
    """What is said."""

    speech: Path | None = None
    """what to say: a recording of speech (any audio file, or a video's sound); none: the shipped demo"""
    performance: Path | None = None
    """a .csv of curves (Live Link Face, Audio2Face, our own) to be played as it is, instead of a prompt's style"""
    performance_fps: float | None = None
    """rows a second of that file; none: as its timecodes tell, or 60"""


@dataclass(frozen=True)
class Style:
    """How it is said."""

    prompt: Path | None = None
    """how to say it: a video of somebody talking, a saved .style file or a .csv of curves; none: the shipped demo"""
    style: tuple[str, ...] = ()
    """instead of --prompt: several prompts with their shares, as a.mp4:0.7 b.mp4:0.3; "prior" is a style of nobody's"""
    schedule: str | None = None
    """instead of --prompt: styles over time, as "0s calm.style, 4.2s angry.mp4" """
    intensity: float = 1.0
    """how far to go from the avatar's own style (0) to the prompt's (1) and beyond"""
    lips_gain: float = 1.0
    """of the movement that speech makes: lips, jaw, cheeks"""
    face_gain: float = 1.0
    """of all other movement: brows, lids, nose"""
    temperature: float = 1.0
    """how unusual a style drawn from the prior may be"""
    face: str = "largest"
    """which face to follow in a prompt or template with several: largest, central, left, right, or a number"""
    seed: int = 0
    """of the decoder's randomness"""


@dataclass(frozen=True)
class Actor:
    """Who says it."""

    avatar: Path | None = None
    """who says it: the folder of an avatar trained from footage; none: the built-in head"""
    template: Path | None = None
    """footage of the avatar that gives pose and background; none: the avatar's own"""
    beyond: float = footage_range.BEYOND
    """how far an expression may leave what a trained avatar's footage shows, of 1; inf: as far as it likes"""


@dataclass(frozen=True)
class Output:
    """What is written."""

    out: Path = Path("talking.mp4")
    """the video to write; "-" is standard output, and --live"""
    live: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """write the video as it is made, for a player that reads along; else it appears once it is whole"""
    save_style: Path | None = None
    """also save the prompt as a small .style file, to use as --prompt later"""
    save_curves: Path | None = None
    """also save the performance as a .csv of curves with ARKit's names, for other programs"""
    save_gltf: Path | None = None
    """also save the performance as an animated head, a .glb file"""
    curves_fps: float = 30.0
    """frames a second of --save-curves and --save-gltf"""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """overwrite the output"""
    quiet: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """print nothing but errors"""


@dataclass(frozen=True)
class Weights:
    """What makes it."""

    style_model: str | None = None
    """folder of style weights, or "grid": shipped ones of open data alone; none: the shipped ones, for research"""
    acoustic_model: str | None = None
    """folder of acoustic weights; none: the shipped ones"""
    face_model: Path | None = None
    """face model that style model and avatar were trained with; none: the shipped one"""


@dataclass(frozen=True)
class Args(Speech, Style, Actor, Output, Weights):
    """An avatar speaks your words in the facial style of a short video. Without arguments: the shipped demo."""


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: infer(cli.parse(Args, argv, prog="python infer.py")))


def infer(args: Args) -> None:
    """Makes the video. Raises UserError for bad input, before anything is written."""
    live = args.live or str(args.out) == "-"
    say = (lambda *_: None) if args.quiet else functools.partial(print, file=sys.stderr if live else sys.stdout)
    _check_outputs(args)
    if args.template and not args.avatar:
        raise UserError("--template needs --avatar: the built-in head has no footage")
    given = [name for name in ("prompt", "style", "schedule") if getattr(args, name)]
    if args.performance and (given or args.save_style):
        raise UserError("--performance is played as it is: it goes without --prompt and --save-style")
    if len(given) > 1:
        raise UserError(f"--{given[0]} and --{given[1]} both say how to speak: give one")
    if args.save_style and (args.style or args.schedule):
        raise UserError("--save-style saves one prompt: give it by --prompt")
    if not args.beyond >= 0:
        raise UserError(f"--beyond is {args.beyond:g}: give 0 or more")
    wanted = _wanted(args)
    check_choice(args.face)
    rate = curves.frame_rate(args.curves_fps)
    sound, demo = None, None if args.performance else DEMO_SPEECH  # curves alone play in silence
    if spoken := args.speech or demo:
        sound = media.sound_of(spoken)
    cli.use_compilation_cache()

    models = load_models(args.style_model, args.acoustic_model, args.face_model)
    if args.avatar:
        actor = avatar_bundle.load_avatar(args.avatar, models.face, models.acoustic)
        if args.template:
            actor = actor.with_template(args.template, face=args.face)
    else:
        actor = HeadAvatar(models.face)
    n_frames = video_frames(sound.samples, sound.rate) if sound else 0
    if sound:
        say(f"speech  {spoken.name}: {sound.samples / sound.rate:.2f} s -> {n_frames} frames")
    say(f"avatar  {actor.name}")

    started = time.perf_counter()
    pool = ThreadPoolExecutor(1)  # while one core hears the speech, another makes the avatar ready
    try:
        ready = pool.submit(_show_once, models, actor)
        if args.performance:
            actor, performance = _play(args, models, actor, n_frames, say)
            n_frames = len(performance.expression)
        else:
            performance = _speak(args, models, actor, wanted, n_frames, say)
        ready.result()
    finally:
        pool.shutdown(wait=False)  # whoever presses Ctrl-C does not wait for what it compiles
    performance = _within_range(args, models, actor, performance, say)
    if args.save_curves or args.save_gltf:
        identity, moving = actor.movement(performance)
        moving = curves.resample(moving, rate)
        for path in filter(None, (args.save_curves, args.save_gltf)):
            export.save(path, models.face, moving, identity, generated=True)
            say(f"wrote   {path}: {len(moving.expression)} rows at {float(rate):g} a second")
    metadata = {
        "title": "Talking avatar (AI-generated)",
        "comment": f"AI-generated by vast_jax {__version__}",
        "description": json.dumps({"ai_generated": True, "generator": "vast_jax", "avatar": actor.name}),
    }
    frames = _progress(actor.frames(performance), n_frames, args.quiet)
    media.write_video(args.out, frames, actor.size, speech=sound, metadata=metadata, live=live)
    seconds = time.perf_counter() - started
    say(f"wrote   {args.out}: {n_frames} frames in {seconds:.1f} s ({n_frames / seconds:.0f} a second)")
    if not (args.avatar or args.performance or args.quiet):
        say("next    --speech your.wav --prompt anybody_talking.mp4; your own avatar: see README, 'Your own avatar'")


def _show_once(models: Models, actor: Avatar) -> None:
    """Renders one frame for nobody: what is compiled, read and measured for the first need not be again."""
    rest = np.zeros((1, len(models.face.expression_names)), np.float32)
    for _ in actor.frames(Performance(rest, np.zeros((1, len(PHONES)), np.float32))):
        pass


def _wanted(args: Args) -> list[style_mix.Moment]:
    """The styles that the options name, each with the moment from which it holds."""
    if args.schedule:
        return style_mix.parse_schedule(args.schedule)
    shares = [style_mix.parse_share(text) for text in args.style]
    return [style_mix.Moment(0.0, tuple(shares) or (style_mix.Share(str(args.prompt or DEMO_STYLE), 1.0),))]


def _speak(
    args: Args, models: Models, actor: Avatar, wanted: Sequence[style_mix.Moment], n_frames: int, say: Callable
) -> Performance:
    """The speech in the wanted styles."""

    @functools.cache
    def encode(source: str) -> np.ndarray:
        if source == style_mix.PRIOR:
            say(f"style   drawn from the prior, seed {args.seed}")
            return models.style.draw(args.seed, args.temperature)
        prompt = read_prompt(source, models.face, models.acoustic, args.face)
        if args.save_style:
            save_style(args.save_style, prompt)
        sound = "with" if prompt.has_speech else "without"
        say(f"style   {Path(source).name}: {len(prompt.expression) / media.FPS:.1f} s, {sound} speech")
        return style_of(models, prompt)

    neutral = actor.own_style(models) if args.intensity != 1 else np.zeros(models.style.module.width_of_style)
    style = style_mix.resolve(wanted, encode, neutral, args.intensity, n_frames)
    licence = str(models.style.card.get("licence", ""))
    if licence.startswith("research only"):
        say(f"note    the style weights are for {licence}")
    speech = fit(media.read_speech(args.speech or DEMO_SPEECH, SAMPLE_RATE), n_frames)
    return perform(models, speech, n_frames, style, args.seed, (args.lips_gain, args.face_gain))


def _play(args: Args, models: Models, actor: Avatar, n_frames: int, say: Callable) -> tuple[Avatar, Performance]:
    """The avatar, and what it does by the curves of a file; as long as the speech, `n_frames`, where there is any."""
    played = read_csv(args.performance, models.face, args.performance_fps, lambda line: say(f"note    {line}"))
    length = len(played.expression)
    say(f"curves  {args.performance.name}: {length / media.FPS:.2f} s -> {length} frames")
    ppg = np.zeros((length, len(PHONES)), np.float32)
    if n_frames:
        if n_frames != length:
            say(f"note    curves {'cut' if n_frames < length else 'held at their last row'} to the speech's length")
        played = curves.fit_length(played, n_frames)
        ppg = models.acoustic(fit(media.read_speech(args.speech, SAMPLE_RATE), n_frames), n_frames)
    return actor.moving_as(played), Performance(played.expression, ppg)


def _within_range(args: Args, models: Models, actor: Avatar, performance: Performance, say: Callable) -> Performance:
    """The performance, drawn back where it leaves what the avatar's footage shows."""
    range_ = actor.footage_range
    if range_ is None:
        return performance
    if leaves := footage_range.leaving(performance.expression, range_, models.face.expression_names):
        say(f"range   {leaves}" + ("" if np.isinf(args.beyond) else f"; drawn back to {args.beyond:g} (--beyond)"))
    return performance._replace(expression=footage_range.soften(performance.expression, range_, args.beyond))


def _check_outputs(args: Args) -> None:
    video = None if str(args.out) == "-" or (args.live and args.out.is_fifo()) else args.out
    outputs = ((video, ".mp4"), (args.save_style, ".style"), (args.save_curves, ".csv"), (args.save_gltf, ".glb"))
    for path, suffix in outputs:
        if path:
            cli.check_output(path, (suffix,), args.force)


def _progress(frames: Iterator[np.ndarray], n_frames: int, quiet: bool) -> Iterator[np.ndarray]:
    """Passes the frames on, with a line that counts them on a terminal."""
    show = not quiet and sys.stderr.isatty()
    for i, frame in enumerate(frames, 1):
        yield frame
        if show:
            print(f"\rframe   {i}/{n_frames}", end="\n" if i == n_frames else "", file=sys.stderr)


if __name__ == "__main__":
    main()
