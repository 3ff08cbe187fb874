"""Footage to training data: python -m vast_jax.prepare VIDEOS... --out DIR

Videos of any size and frame rate become clips of 25 frames a second: the face cropped to 256x256, its FaceTrack, the
speech and its phone posteriors, stored as tfds datasets that `data.pipeline.open_clips` reads. Run it again with more
videos to add them; what is prepared already is skipped, also after an interruption.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vast_jax import cli
from vast_jax.data import builders
from vast_jax.data.clips import Clip
from vast_jax.data.corpora import FILMED
from vast_jax.data.corpora.index import write_index
from vast_jax.data.corpora.recording import Listing, Recording
from vast_jax.data.names import clip_name, find_videos, person_of, video_of
from vast_jax.data.workers import run_jobs
from vast_jax.face.following import check_choice
from vast_jax.face.model import FaceModel, load_face_model
from vast_jax.face.tracking import fitted, fitted_together
from vast_jax.files import check_writable, room_for
from vast_jax.media import file_of
from vast_jax.models.recogniser import load_acoustic
from vast_jax.prepare.beam_pipeline import forget_outcomes, prepare_on_beam
from vast_jax.prepare.footage import phone_posteriors, prepare_video, renewed
from vast_jax.prepare.jobs import Job, Outcome, say
from vast_jax.prepare.report import PICTURES, write_report
from vast_jax.prepare.store import add_staged, staged_path, stored_clips, tidy
from vast_jax.types import FaceTrack, UserError

_DIED = "the process died with this video or one beside it (out of memory?): run again, with --workers 1"


@dataclass(frozen=True)
class Args:
    """Prepares footage for training: tracks, crops, and writes a data set with a report of what was kept and why."""

    out: Path
    """Folder of the data set; clips are added to what it holds."""
    videos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="VIDEO...")] = ()
    """Videos, or folders of videos (searched at any depth); with --corpus, the folder of the corpus."""
    corpus: Literal[FILMED] | None = None
    """The folder holds this corpus as it is downloaded: docs/corpora.md says how it should look."""
    only: tuple[str, ...] = ()
    """Only clips whose name fits one of these shell patterns, such as 'mead/*/front_*'."""
    face: str = "largest"
    """Which of several faces to follow: largest, central, left, right, its number from left to right, from 0, or the
    one nearest to a point, such as 0.5,0.3 of the picture's width and height."""
    face_model: Path | None = None
    """Face model to fit (a head.npz); by default the one that comes with vast_jax."""
    person: str | None = None
    """Who it is, for all of these videos; by default guessed from folder and file name. A label only."""
    one_person: bool = False
    """All videos of a folder show one person, whose face is fitted to all of them together: what a face holds through a
    clip is then told best from what it is. With --update-tracks, clips of which --person says the same."""
    acoustic: Path | None = None
    """Acoustic model that computes the phone posteriors; by default the one that comes with vast_jax."""
    ppg: bool = True
    """Whether to compute phone posteriors now; --update-ppg does it later."""
    score: bool = True
    """Whether to measure how well lips and sound agree and how sharp the face is; doubtful clips are listed."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Videos prepared at the same time."""
    beam: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="[FLAG...]")] = None
    """Prepare on Apache Beam. Give it last: what follows are the flags of a runner; none: processes of this machine."""
    update_ppg: bool = False
    """Compute the phone posteriors of all clips in the data set anew, without tracking again."""
    update_tracks: bool = False
    """Fit the face of all clips in the data set anew, to the landmarks that it holds, without the videos: for a better
    version of the tracker, or with another --face-model."""


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: prepare(parse(sys.argv[1:] if argv is None else argv, cli.typed_name())))


def parse(argv: Sequence[str], prog: str = "python -m vast_jax.prepare") -> Args:
    """The options; what follows --beam is Beam's."""
    at = argv.index("--beam") if "--beam" in argv else len(argv)
    args = cli.parse(Args, argv[:at], prog=prog, description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    return replace(args, beam=tuple(argv[at + 1 :])) if at < len(argv) else args


def prepare(options: Args) -> None:
    """Does what the options say.

    Raises:
      UserError: nothing to do, a path that is not there, not one clip was kept, or `out` cannot be written.
    """
    if not (options.videos or options.update_ppg or options.update_tracks):
        raise UserError("no videos given: python -m vast_jax.prepare VIDEOS... --out DIR")
    check_choice(options.face)
    check_writable(options.out)
    if options.videos:
        load_face_model(options.face_model)  # fails here, not video by video
        if options.ppg:
            load_acoustic(options.acoustic)
        with room_for(options.out):
            outcomes = _prepare_videos(options)
            figures = write_report(options.out, outcomes)
        if options.beam is not None:
            forget_outcomes(options.out, {builders.folder_of(outcome.name) for outcome in outcomes})
        for folder in dict.fromkeys(builders.folder_of(outcome.name) for outcome in outcomes):
            f = figures[folder]
            cost = sum(f["milliseconds_a_frame"].values())
            say(
                f"{folder}: {f['kept']} clips kept, {f['dropped']} dropped, {f['frames']} frames, "
                f"{f['tracked']:.2%} tracked, {cost:.1f} ms a frame"
            )
        if not any(outcome.kept for outcome in outcomes):
            raise UserError(f"none of {len(outcomes)} videos could be used; the first: {outcomes[0].reason}")
        if options.ppg and not options.update_ppg:
            _warn_of_other_ppg(options.out)
        say(f"look at {options.out / 'report.md'} and the pictures in {options.out / 'report'}")
        if options.one_person:
            kept = dict.fromkeys(builders.folder_of(outcome.name) for outcome in outcomes if outcome.kept)
            _update_tracks(options, [options.out / folder for folder in kept])
    if options.update_tracks:
        _update_tracks(options, builders.folders(options.out))
    if options.update_ppg:
        _update_ppg(options)


def _prepare_videos(options: Args) -> list[Outcome]:
    jobs, outcomes = _plan(options)
    if options.beam is not None:
        return outcomes + prepare_on_beam(jobs, options.out, options.workers, options.beam)
    left = Counter(builders.folder_of(job.name) for job in jobs)
    clock = _Clock(len(jobs))
    try:
        for job, result in run_jobs(prepare_video, jobs, min(options.workers, len(jobs))):
            results = result or [Outcome(job.name, str(job.source), reason=_DIED)]
            outcomes += results
            say(clock.lines(results))
            folder = builders.folder_of(job.name)
            left[folder] -= 1
            if not left[folder]:  # a folder is usable as soon as it is done
                add_staged(options.out, folder)
                ours = [outcome for outcome in outcomes if builders.folder_of(outcome.name) == folder]
                write_report(options.out, ours)
    finally:
        tidy(options.out, left)
    return outcomes


def _plan(options: Args) -> tuple[list[Job], list[Outcome]]:
    """One job a recording, folder by folder; and the recordings refused, with the reason."""
    found = _recordings(options)
    jobs: dict[str, Job] = {}
    refused = [Outcome(name, "", reason=reason) for name, reason in found.left_out.items()]
    for recording in found.recordings:
        name, source = recording.name, recording.source
        if name in jobs:
            refused.append(
                Outcome(name + file_of(source).suffix, str(source), reason=f"same name as {jobs[name].source}")
            )
            continue
        jobs[name] = Job(
            source=source,
            name=name,
            person=options.person or ((Path(name).parent.name or name) if options.one_person else recording.person),
            face=recording.face or options.face,
            sound=recording.sound,
            face_model=options.face_model,
            ppg=options.ppg,
            acoustic=options.acoustic,
            score=options.score,
            staged=staged_path(options.out, name),
            pictures=options.out / PICTURES / builders.folder_of(name),
            known={},
        )
    known: dict[str, dict[str, str]] = {}
    for folder in dict.fromkeys(map(builders.folder_of, jobs)):
        for clip in stored_clips(options.out / folder):
            known.setdefault(video_of(clip.name), {})[clip.name] = clip.fingerprint
    planned = [replace(job, known=known.get(name, {})) for name, job in jobs.items()]
    return planned, refused


def _recordings(options: Args) -> Listing:
    if options.corpus is None:
        videos = find_videos(options.videos)
        found = Listing([Recording(name, path, person_of(name)) for path in videos for name in [clip_name(path)]])
    else:
        if len(options.videos) != 1:
            raise UserError(f"--corpus {options.corpus} takes one folder, that of the corpus")
        found = write_index(options.corpus, options.videos[0], options.out)
    return found.matching(options.only) if options.only else found


def _warn_of_other_ppg(out: Path) -> None:
    hashes = [clip.ppg_hash for folder in builders.folders(out) for clip in stored_clips(folder)]
    if "" in hashes or len(set(hashes)) > 1:
        say(f"some clips have phone posteriors of another acoustic model, or none: run --update-ppg --out {out}")


def _update_tracks(options: Args, paths: Sequence[Path]) -> None:
    model = load_face_model(options.face_model)
    together = _one_identity_a_person(paths, model) if options.one_person else {}

    def anew(clip: Clip) -> Clip:
        track = together[clip.name] if options.one_person else fitted(clip.track, model)
        return replace(clip, track=track, fingerprint=renewed(clip.fingerprint, model))

    _update(paths, "tracks", anew, "faces")


def _one_identity_a_person(paths: Sequence[Path], model: FaceModel) -> dict[str, FaceTrack]:
    """The tracks of all clips by name, fitted with one identity for each person."""
    people: dict[str, dict[str, FaceTrack]] = {}
    for path in paths:
        for clip in stored_clips(path):
            people.setdefault(clip.person, {})[clip.name] = clip.track
    return {
        name: track
        for tracks in people.values()
        for name, track in zip(tracks, fitted_together(list(tracks.values()), model), strict=True)
    }


def _update_ppg(options: Args) -> None:
    def anew(clip: Clip) -> Clip:
        ppg, ppg_hash = phone_posteriors(clip.speech_int16, clip.has_speech, len(clip), options.acoustic)
        return replace(clip, ppg=ppg, ppg_hash=ppg_hash)

    _update(builders.folders(options.out), "ppg", anew, "phone posteriors")


def _update(paths: Sequence[Path], dataset: str, anew: Callable[[Clip], Clip], what: str) -> None:
    """Replaces one dataset of these folders."""
    for path in paths:
        start = time.perf_counter()
        clips = [anew(clip) for clip in stored_clips(path)]
        builders.write_dataset(path, dataset, clips)
        cost = 1000 * (time.perf_counter() - start) / sum(map(len, clips))
        say(f"{path.name}: {what} of {len(clips)} clips, {cost:.2f} ms a frame")


class _Clock:
    """Rate and time left."""

    def __init__(self, total: int):
        self._total, self._done, self._frames, self._start = total, 0, 0, time.perf_counter()

    def lines(self, outcomes: list[Outcome]) -> str:
        """What became of a video, one line a clip."""
        self._done += 1
        seconds = time.perf_counter() - self._start
        self._frames += sum(outcome.frames for outcome in outcomes)
        left = round(seconds / self._done * (self._total - self._done))
        rate = f"{self._frames / seconds:.0f} frames/s, {left // 60}:{left % 60:02d} left"
        return "\n".join(f"{self._done}/{self._total} ({rate}) {outcome.describe()}" for outcome in outcomes)


if __name__ == "__main__":
    main()
