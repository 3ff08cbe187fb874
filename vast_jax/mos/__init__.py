"""A listening and viewing test with people, after the questions of the VAST paper: mean opinion scores.

    python -m vast_jax.mos make --videos ours=DIR other=DIR real=DIR --out test      # test/for_raters and test/key.json
    python -m vast_jax.mos score test/answers*.csv --out test/report                 # what the raters thought

Give raters `for_raters` (a zip of it will do), never `key.json`: it says which clip is of which system. Each rater gets
a number, opens index.html in any browser, and sends back one CSV; put them beside the key.
"""

from vast_jax.mos.answers import read_answers
from vast_jax.mos.scores import Score, report, score
from vast_jax.mos.study import QUESTIONS, Key, read_key, write_study

__all__ = ["QUESTIONS", "Key", "Score", "read_answers", "read_key", "report", "score", "write_study"]
