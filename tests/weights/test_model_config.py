import math

import numpy as np
import pytest

from vast_jax.models.acoustic_model import AcousticModel
from vast_jax.models.acoustic_transformer import AcousticTransformer
from vast_jax.models.style_transfer import StyleTransfer
from vast_jax.models.syncnet import SyncNet
from vast_jax.types import UserError
from vast_jax.weights import model_config


def test_what_json_has_becomes_the_module():
    module = model_config.build(StyleTransfer, {"strong": [0, 2], "weak": [1], "encoder_channels": [4, 4]}, "x")
    assert module == StyleTransfer((0, 2), (1,), encoder_channels=(4, 4))
    assert model_config.build(AcousticModel, {"ahead": None, "dropout": 0}, "x") == AcousticModel(ahead=None, dropout=0)


@pytest.mark.parametrize(
    ("module", "config", "said"),
    [
        (StyleTransfer, {"strong": [0]}, "another version"),
        (StyleTransfer, [], "another version"),
        (StyleTransfer, {"strong": [0], "weak": [1], "width": 3}, "another version"),
        (StyleTransfer, {"strong": [0], "weak": [1], "parent": None}, "another version"),
        (StyleTransfer, {"strong": [0], "weak": [-1]}, "weak"),
        (StyleTransfer, {"strong": [0], "weak": [1], "strong_layers": 4096}, "strong_layers"),
        (StyleTransfer, {"strong": [0], "weak": [1], "strong_heads": 3}, "share strong_width evenly"),
        (AcousticTransformer, {"heads": 0}, "heads"),
        (AcousticTransformer, {"heads": 5}, "share width evenly"),
        (AcousticTransformer, {"ahead": [1] * 65}, "ahead"),
        (AcousticTransformer, {"dropout": math.inf}, "dropout"),
        (AcousticTransformer, {"hidden": 10**9}, "hidden = 1000000000"),
        (AcousticTransformer, {"hidden": 5.0}, "hidden"),
        (AcousticTransformer, {"hidden": None}, "hidden"),
        (AcousticTransformer, {"hidden": {"a": 1}}, "hidden"),
        (SyncNet, {"layout": "huge"}, "layout"),
        (SyncNet, {"picture_widths": "32"}, "picture_widths"),
        (SyncNet, {"picture_widths": [[1]]}, "picture_widths"),
        (SyncNet, {"dropout": True}, "dropout"),
    ],
)
def test_what_no_model_has_is_refused(module, config, said):
    with pytest.raises(UserError, match=f"a.json.*{said}"):
        model_config.build(module, config, "a.json")


def test_constants_have_the_shapes_that_are_needed():
    arrays = {"a": np.zeros(3), "b": np.zeros((2, 3))}
    model_config.check_constants(arrays, {"a": (3,)}, "x", optional={"b": (None, 3), "c": (1,)})
    wrong = [({"a": (4,)}, "a is"), ({"c": (1,)}, "lack c"), ({"b": (3,)}, "b is")]
    for shapes, said in wrong:
        with pytest.raises(UserError, match=said):
            model_config.check_constants(arrays, shapes, "x")
    with pytest.raises(UserError, match="no array of numbers"):
        model_config.check_constants({"a": {"b": arrays["a"]}}, {"a": (3,)}, "x")
