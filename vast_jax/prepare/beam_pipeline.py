"""Preparation on Apache Beam: many processes, or many machines, for footage that one cannot prepare in a night.

    python -m vast_jax.prepare VIDEOS... --out DIR --beam [FLAGS OF THE RUNNER...]

The videos are spread over the workers, each of which makes and stages clips as `prepare.footage` does anywhere; then
each folder is stored, folders beside each other. A video that is staged, or stored, is not made again: what a killed
run has finished is found by its content. Footage and DIR must have the same paths on all workers.
"""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from vast_jax.data.builders import folder_of
from vast_jax.data.workers import single_threaded
from vast_jax.prepare.footage import prepare_video
from vast_jax.prepare.jobs import Job, Outcome, say
from vast_jax.prepare.store import STAGING, add_staged, read_outcomes, remove_if_empty, write_outcomes
from vast_jax.types import UserError

_ONE_AT_A_TIME = threading.Lock()  # runners give a process several threads; its landmarker bears one


def prepare_on_beam(jobs: Sequence[Job], out: Path, workers: int, flags: Sequence[str]) -> list[Outcome]:
    """Prepares and stores; what became of every job, folder by folder.

    flags: of the runner; without --runner, `workers` processes of this machine. UserError: no Beam, or it failed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise UserError('--beam needs the extra "beam": pip install "vast_jax[beam]"') from None
    try:
        with single_threaded(), beam.Pipeline(options=PipelineOptions(_with_runner(workers, flags))) as pipeline:
            _ = (
                pipeline
                | "videos" >> beam.Create(jobs)
                | "spread" >> beam.Reshuffle()
                | "prepare" >> beam.Map(_prepare)
                | "by folder" >> beam.GroupByKey()
                | "store" >> beam.Map(_store, out)
            )
    except Exception as error:  # of a worker that died, or of the runner
        last = (str(error).strip().splitlines() or [""])[-1]
        raise UserError(f"Beam stopped ({type(error).__name__}: {last}): run again, it goes on from here") from error
    outcomes = []
    for folder in dict.fromkeys(folder_of(job.name) for job in jobs):
        outcomes += read_outcomes(_outcomes_path(out, folder))
    return outcomes


def forget_outcomes(out: Path, folders: Iterable[str]) -> None:
    """Removes what `prepare_on_beam` left for the report, once that is written."""
    for folder in folders:
        _outcomes_path(out, folder).unlink(missing_ok=True)
    remove_if_empty(out / STAGING)


def _with_runner(workers: int, flags: Sequence[str]) -> list[str]:
    if any(flag.split("=")[0] == "--runner" for flag in flags):
        return list(flags)
    # not DirectRunner, which may fetch a runner of another language from the network
    processes = ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    return ["--runner=FnApiRunner", *processes, *flags]


def _prepare(job: Job) -> tuple[str, list[Outcome]]:
    from apache_beam.metrics import Metrics

    with _ONE_AT_A_TIME:
        outcomes = prepare_video(job)
    for outcome in outcomes:
        Metrics.counter("vast_jax", "clips kept" if outcome.kept else "dropped").inc()
        say(outcome.describe())
    return folder_of(job.name), outcomes


def _store(prepared: tuple[str, Iterable[list[Outcome]]], out: Path) -> None:
    folder, outcomes = prepared
    path = _outcomes_path(out, folder)
    earlier = {outcome.name: outcome for outcome in read_outcomes(path)}  # of a run that was killed before its report
    found = [outcome for of_job in outcomes for outcome in of_job]
    known = [earlier.get(o.name, o) if o.kept and not o.fresh else o for o in found]
    write_outcomes(path, sorted(known, key=lambda outcome: outcome.name))
    add_staged(out, folder)


def _outcomes_path(out: Path, folder: str) -> Path:
    return out / STAGING / f"{folder}.json"
