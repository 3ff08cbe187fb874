"""Word and character error rate of lips: python -m vast_jax.metrics.lip_reading --data DIR

A lip reader of the GRID corpus tells a sentence from the mouth alone. The command measures the reader itself on
held-out real clips, and on controls that must be unreadable. Rates are of the corpus: all edits over all words.
"""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vast_jax import cli
from vast_jax.data.clips import Clip
from vast_jax.data.grid_corpus import LETTER, grid_sentence, is_grid_name
from vast_jax.face.mouth_crop import mouth_crops
from vast_jax.files import atomic_path
from vast_jax.models.lip_reader import LipReader, Reading
from vast_jax.types import UserError

__all__ = ["LipReader", "clip_mouths", "grid_sentence", "load_lip_reader", "measure", "score", "word_errors"]

Sentence = Sequence[str]


def load_lip_reader(path: str | os.PathLike | None = None) -> LipReader:
    """The lip reader of a .safetensors file or export folder; None: the shipped one.

    Raises:
      UserError: there are no such weights, or they are of something else.
    """
    return LipReader.load(path)


def word_errors(references: Sequence[Sentence], read: Sequence[Sentence]) -> dict[str, float]:
    """Errors of what was read over a corpus, by the library jiwer.

    Returns:
      wer: word edits over reference words.
      cer: character edits, spaces counted, over reference characters.
      letters, others: share of the GRID sentences' letters, and of their other words, that were read right.

    Raises:
      UserError: jiwer is missing, there is no sentence, or an empty one among the references.
    """
    jiwer = require_jiwer()
    if len(references) != len(read):
        raise ValueError(f"{len(references)} references for {len(read)} sentences read")
    if not references or not all(references):
        raise UserError("word error rates need at least one sentence, and none of the references empty")
    wanted, got = [" ".join(words) for words in references], [" ".join(words) for words in read]
    words = jiwer.process_words(wanted, got)
    right = {True: 0, False: 0}
    for chunks in words.alignments:
        for chunk in chunks:
            if chunk.type == "equal":
                for index in range(chunk.ref_start_idx, chunk.ref_end_idx):
                    right[index == LETTER] += 1
    letters = sum(len(sentence) > LETTER for sentence in references)
    others = sum(map(len, references)) - letters
    return {
        "wer": float(words.wer),
        "cer": float(jiwer.process_characters(wanted, got).cer),
        "letters": right[True] / max(letters, 1),
        "others": right[False] / max(others, 1),
    }


def require_jiwer():
    """The library jiwer. UserError: it is not installed."""
    try:
        import jiwer
    except ImportError as error:
        raise UserError("word error rates need the library jiwer: pip install 'vast_jax[evaluate]'") from error
    return jiwer


def score(reader: LipReader, mouths: Sequence[np.ndarray], references: Sequence[Sentence]) -> dict[str, float]:
    """`word_errors` of the clips read without the grammar, and "grammar_..." of those bound to it.

    Args:
      reader: `load_lip_reader()`.
      mouths: a clip each, [T, 96, 96, 3] uint8 of `mouth_crops`.
      references: the sentences spoken.
    """
    return score_readings([reader.read(clip) for clip in mouths], references)


def score_readings(readings: Sequence[Reading], references: Sequence[Sentence]) -> dict[str, float]:
    """`score` of clips that have been read."""
    bound = word_errors(references, [reading.constrained for reading in readings])
    free = word_errors(references, [reading.greedy for reading in readings])
    return free | {f"grammar_{name}": value for name, value in bound.items()}


def measure(reader: LipReader, mouths: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """How well real clips are read, and controls from which nothing can be: {control: `score`}.

    frozen: the first frame repeated; reversed: in time; other sentence: each clip against the words of every other,
    left out where there is one clip only. GRID's sentences share words: of two random ones .19 are the same.

    mouths: crops by GRID name.
    """
    clips, truth = list(mouths.values()), [grid_sentence(name) for name in mouths]
    readings = [reader.read(clip) for clip in clips]
    figures = {
        "real": score_readings(readings, truth),
        "frozen": score(reader, [np.repeat(clip[:1], len(clip), axis=0) for clip in clips], truth),
        "reversed": score(reader, [clip[::-1] for clip in clips], truth),
    }
    if pairs := list(itertools.permutations(range(len(clips)), 2)):
        figures["other sentence"] = score_readings([readings[i] for i, _ in pairs], [truth[j] for _, j in pairs])
    return figures


def clip_mouths(clip: Clip) -> np.ndarray:
    """Mouth crops of a prepared clip, [T, 96, 96, 3] uint8."""
    return mouth_crops(clip.frames(), clip.track.landmarks)


@dataclass(frozen=True)
class Args:
    """Measures the lip reader on prepared clips of the GRID corpus."""

    data: Path
    """Folder of prepared clips."""
    weights: Path | None = None
    """Weights of the reader; none: the shipped ones."""
    clips: str = "grid/s1/*"
    """Which clips, a shell pattern of their names."""
    split: Literal["held_out", "train"] = "held_out"
    """Which split; the reader was trained on the other."""
    json: Path | None = None
    """File for the figures, besides the printed ones."""


def report(options: Args) -> dict[str, dict[str, float]]:
    """Prints the table; returns `measure`'s figures.

    Raises:
      UserError: no such clips.
    """
    from vast_jax.data.pipeline import open_clips

    clips = [
        clip for clip in open_clips(options.data, options.split).matching(options.clips) if is_grid_name(clip.name)
    ]
    if not clips:
        raise UserError(f"none of the {options.split} clips {options.clips} in {options.data} is named as a GRID clip")
    figures = measure(load_lip_reader(options.weights), {clip.name: clip_mouths(clip) for clip in clips})
    print(f"{len(clips)} {options.split} clips, {sum(len(grid_sentence(clip.name)) for clip in clips)} words")
    print(
        f"{'':16}" + "".join(f"{name:>9}" for name in ("WER", "CER", "letters", "others")) + "   grammar: WER, CER, ..."
    )
    for control, line in figures.items():
        print(f"{control:16}" + "".join(f"{value:9.3f}" for value in line.values()))
    if options.json:
        with atomic_path(options.json) as part:
            part.write_text(json.dumps({"clips": len(clips), "split": options.split, **figures}, indent=1) + "\n")
    return figures


def main(argv: list[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: report(cli.parse(Args, argv, prog="python -m vast_jax.metrics.lip_reading")))


if __name__ == "__main__":
    main()
