"""The checker of signatures that tests/conftest.py hooks in: beartype, with an int for a float as PEP 484 has it."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
