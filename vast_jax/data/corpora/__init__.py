"""Corpora as they are downloaded: which files, or parts of them, are recordings; of whom; and what is known of them.

A corpus says nothing about how a recording becomes a clip: that is `vast_jax.prepare`, and `vast_jax.label` for speech.
"""

from vast_jax.data.corpora import addresses, grid, hdtf, librispeech, mead, tedhd

CORPORA = {
    "grid": grid.listing,
    "tedhd": tedhd.listing,
    "hdtf": hdtf.listing,
    "mead": mead.listing,
    "addresses": addresses.listing,
    "librispeech": librispeech.listing,
}
FILMED = ("grid", "tedhd", "hdtf", "mead", "addresses")  # what vast_jax.prepare takes: the others are speech alone
