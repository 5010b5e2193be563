"""Fixtures that several files of tests share."""

import pytest

from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.trace_sources import FileSource
from tests.hand_made import call, trace_of
from tests.unit.pages.trace_readers import Reader


@pytest.fixture
def reader():
    return Reader()


@pytest.fixture(scope="module")
def file_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "small.safetensors"
    trace_of(call(query_len=3)).save(path)
    return path.read_bytes()


@pytest.fixture
def chooser(reader):
    return FileSource(reader.show, reader.say, ServerSettings(max_upload_bytes=1_000_000))
