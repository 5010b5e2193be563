"""Run PyTorch on one thread, as in the tests of models."""

from tests.unit.models.conftest import single_threaded_torch

__all__ = ["single_threaded_torch"]
