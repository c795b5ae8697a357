"""Every history model, and windows of every kind."""

import pytest

from .model_helpers import MODELS, SCHEDULES


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


@pytest.fixture(params=SCHEDULES)
def schedule(request):
    return request.param
