"""A missing peer is never passed over in CI."""

import pytest

from tests.peers.peer import require_peer


def test_a_peer_is_found():
    assert require_peer("sh").endswith("/sh")


def test_a_missing_peer_is_skipped_here_and_a_failure_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="nowhere-to-be-found is not installed"):
        require_peer("nowhere-to-be-found")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI=true"):
        require_peer("nowhere-to-be-found")
