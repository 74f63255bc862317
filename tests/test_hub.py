"""The Hugging Face hub: whether it answers, and working offline."""

import threading

import datasets
import pytest
from hub_servers import refusing_server, silent_server

from system import hub


@pytest.fixture
def hub_at(monkeypatch):
    """Set the address of the hub."""

    def set_address(address):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)

    return set_address


def test_the_hub_has_the_address_of_the_library(hub_at):
    hub_at("https://hub.example")
    assert hub.endpoint() == "https://hub.example"


@pytest.mark.parametrize("status", [200, 401, 403, 404, 429])
def test_a_hub_that_sends_a_lasting_status_answers(hub_at, status):
    with refusing_server(status) as (address, requests):
        hub_at(address)
        assert hub.hub_answers("a/file")
    assert requests == ["/a/file"]


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_hub_that_sends_a_temporary_status_does_not_answer(hub_at, status):
    """Its libraries would retry. A proxy may still show the front page of a hub that it cannot reach."""
    with refusing_server(status) as (address, requests):
        hub_at(address)
        assert not hub.hub_answers("a/file")
        assert hub.hub_answers()
    assert requests == ["/a/file", "/"]


def test_a_closed_port_does_not_answer(hub_at):
    hub_at("http://127.0.0.1:9")
    assert not hub.hub_answers()


def test_a_hub_that_never_answers_is_asked_once(hub_at, monkeypatch):
    monkeypatch.setattr(hub, "PROBE_SECONDS", 0.2)
    with silent_server() as (address, connections):
        hub_at(address)
        assert not hub.hub_answers()
        assert len(connections) == 1


def test_a_name_look_up_that_hangs_is_not_waited_for(monkeypatch):
    end, ended = threading.Event(), threading.Event()

    class Session:
        def head(self, *_, **__):
            end.wait(60)
            ended.set()

    monkeypatch.setattr("huggingface_hub.get_session", Session)
    monkeypatch.setattr(hub, "PROBE_SECONDS", 0.1)
    assert not hub.hub_answers()
    assert not ended.is_set()
    end.set()


def test_offline_the_hub_is_not_asked(hub_at, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with refusing_server(200) as (address, requests):
        hub_at(address)
        assert not hub.hub_answers()
    assert requests == []


def test_the_libraries_are_offline_inside_the_block_only():
    before = datasets.config.HF_HUB_OFFLINE
    with pytest.raises(ValueError), hub.offline():
        assert datasets.config.HF_HUB_OFFLINE
        raise ValueError
    assert before == datasets.config.HF_HUB_OFFLINE
