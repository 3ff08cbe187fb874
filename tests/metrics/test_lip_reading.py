import itertools
import json
import sys

import numpy as np
import pytest

from vast_jax.data.grid_corpus import grid_sentence
from vast_jax.metrics import lip_reading
from vast_jax.metrics.lip_reading import measure, word_errors
from vast_jax.models.lip_reader import Reading
from vast_jax.types import UserError

pytest.importorskip("jiwer")
TRUTH = [grid_sentence("bbaf2n"), grid_sentence("sria9s")]  # bin blue at f two now, set red in a nine soon


def edits(wanted, got) -> int:
    """Levenshtein's distance by its recursion."""
    table = np.zeros((len(wanted) + 1, len(got) + 1), int)
    table[:, 0], table[0] = np.arange(len(wanted) + 1), np.arange(len(got) + 1)
    for i, j in itertools.product(range(len(wanted)), range(len(got))):
        table[i + 1, j + 1] = min(table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + (wanted[i] != got[j]))
    return table[-1, -1]


@pytest.mark.parametrize(
    ("read", "wer", "letters", "others"),
    [
        (["bin blue at f two now", "set red in a nine soon"], 0, 1, 1),
        (["bin blue at s two now", "set red in a nine soon"], 1 / 12, 0.5, 1),
        (["bin blue f two now", "set red in a nine soon now"], 2 / 12, 1, 0.9),
        (["", ""], 1, 0, 0),
        (["", "set red in a nine soon"], 0.5, 0.5, 0.5),
        (["f f f f f f f f f f f f", "set red in a nine soon"], 11 / 12, 1, 0.5),
    ],
)
def test_made_up_cases(read, wer, letters, others):
    read = [sentence.split() for sentence in read]
    found = word_errors(TRUTH, read)
    assert found["wer"] == pytest.approx(wer) and found["letters"] == letters and found["others"] == others
    assert found["wer"] == pytest.approx(sum(map(edits, TRUTH, read)) / 12)
    characters = [" ".join(words) for words in TRUTH], [" ".join(words) for words in read]
    assert found["cer"] == pytest.approx(sum(map(edits, *characters)) / sum(map(len, characters[0])))


def test_rates_are_of_the_corpus_not_means_of_clips():
    truth = [["a"], list("bcdefghij")]
    assert word_errors(truth, [["x"], truth[1]])["wer"] == pytest.approx(0.1)


def test_nothing_to_score():
    for truth, read in (([], []), ([[]], [["a"]])):
        with pytest.raises(UserError, match="at least one sentence"):
            word_errors(truth, read)
    with pytest.raises(ValueError, match="references"):
        word_errors(TRUTH, [])


def test_missing_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "jiwer", None)
    with pytest.raises(UserError, match=r"pip install 'vast_jax\[evaluate\]'"):
        word_errors(TRUTH, TRUTH)


class Oracle:
    """Reads clips whose pixels are the index of their sentence, if they move and do so forward in time."""

    names = ("bbaf2n", "sria9s", "lgwxzp")

    @classmethod
    def mouths(cls) -> dict[str, np.ndarray]:
        clips = {}
        for index, name in enumerate(cls.names):
            clips[name] = np.full((8, 96, 96, 3), 10 * index, np.uint8)
            clips[name] += np.arange(8, dtype=np.uint8)[:, None, None, None]
        return clips

    def read(self, mouths):
        grey = mouths[:, 0, 0, 0].astype(int)
        words = grid_sentence(self.names[grey[0] // 10]) if grey[-1] > grey[0] else ()
        return Reading(words, words)


def test_controls():
    figures = measure(Oracle(), Oracle.mouths())
    assert list(figures) == ["real", "frozen", "reversed", "other sentence"]
    assert figures["real"]["wer"] == figures["real"]["grammar_wer"] == figures["real"]["cer"] == 0
    assert figures["real"]["letters"] == figures["real"]["others"] == 1
    assert figures["frozen"]["wer"] == figures["reversed"]["wer"] == 1
    assert figures["other sentence"]["wer"] == 1  # the three sentences share no word


def test_command(tmp_path, monkeypatch, capsys):
    from footage import made_up_clip

    from vast_jax.data.builders import write_folder

    clips = [made_up_clip(f"grid/s1/{name}", frames=6, seed=i) for i, name in enumerate(("bbaz7a", "bbie8n", "bbaf2n"))]
    write_folder(tmp_path / "data" / "grid+s1", clips)
    seen = []

    class Silent:
        def read(self, mouths):
            seen.append(mouths.shape)
            return Reading((), ("bin",))

    monkeypatch.setattr(lip_reading, "load_lip_reader", lambda path: Silent())
    lip_reading.main(["--data", str(tmp_path / "data"), "--json", str(tmp_path / "out.json")])
    printed, figures = capsys.readouterr().out, json.loads((tmp_path / "out.json").read_text())
    assert "2 held_out clips, 12 words" in printed and "other sentence" in printed  # bbaf2n is for training
    assert figures["clips"] == 2 and figures["real"]["wer"] == 1 and figures["real"]["grammar_wer"] == 10 / 12
    assert set(seen) == {(6, 96, 96, 3)}
    with pytest.raises(SystemExit):
        lip_reading.main(["--data", str(tmp_path / "data"), "--clips", "nobody/*"])
    assert capsys.readouterr().err.startswith("error: no clip fits nobody/*")
