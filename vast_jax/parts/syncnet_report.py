"""What SyncNet has learned, on held-out sentences of known people and on unseen people: figures and curves."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from vast_jax.data.pipeline import spread
from vast_jax.metrics import sync_assessment
from vast_jax.metrics.sync import MAX_SHIFT, UNRELATED
from vast_jax.models.syncnet_model import SyncModel
from vast_jax.types import UserError

CLIPS, SHOWN = 60, 3  # of a group at most, so that a look takes seconds; of those with a plot


def report(
    model: SyncModel, data_dir: str | Path, left_out: Sequence[str], out_dir: Path, step: int
) -> dict[str, float]:
    """Figures of `sync_assessment.figures`, under the group's name, and `unrelated`, the unit of distance in them.

    Writes curves_<group>.png: the distance over shifts with own sound, own sound 3 frames late, and another clip's.
    """
    groups = sync_assessment.groups(data_dir, left_out)
    if not groups:
        raise UserError(f"{data_dir} holds fewer than two held-out clips with speech of two seconds to measure on")
    trials = {name: sync_assessment.assess(model, spread(clips, CLIPS)) for name, clips in groups.items()}
    unrelated = sync_assessment.unrelated_distance([trial for group in trials.values() for trial in group])
    out = {"unrelated": unrelated}
    for group, measured in trials.items():
        found = sync_assessment.figures(measured, unrelated)
        out |= {f"{group}_{name}": value for name, value in found.items()}
        title = f"{group} people, step {step}"
        _plot(Path(out_dir) / f"curves_{group}.png", spread(measured, SHOWN), UNRELATED / unrelated, title)
    return out


def _plot(path: Path, trials: Sequence[sync_assessment.Trial], scale: float, title: str) -> None:
    figure, axes = plt.subplots(1, len(trials), figsize=(4.5 * len(trials), 3.5), sharey=True, squeeze=False)
    shifts = np.arange(-MAX_SHIFT, MAX_SHIFT + 1)
    for axis, trial in zip(axes[0], trials, strict=True):
        late = max(trial.moved)
        kinds = {"own sound": trial.own, f"own, {late} frames late": trial.moved[late], "another clip's": trial.other}
        for kind, found in kinds.items():
            axis.plot(shifts, scale * found.curve, label=kind)
        axis.set(title=trial.name, xlabel="frames that the sound is late")
        axis.axvline(0, color="grey", linewidth=0.5)
        axis.axvline(late, color="grey", linewidth=0.5)
    axes[0, 0].set_ylabel("distance")
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)
