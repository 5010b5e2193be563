"""A pretrained model as data for an offline file, where `js/live_model` runs it."""

from attnpanel.models.live_model.families import FAMILIES, ModelFamily
from attnpanel.models.live_model.stored_model import (
    MAX_WEIGHTS,
    StoredModel,
    prompt_of,
    store_model,
)

__all__ = ["FAMILIES", "MAX_WEIGHTS", "ModelFamily", "StoredModel", "prompt_of", "store_model"]
