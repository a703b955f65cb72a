"""Deployment settings: documented, frozen, and wrong ones are named with their value and what is allowed."""

import pytest
from pydantic import ValidationError

from base.settings import Settings, WrongSetting, load


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    import os

    for name in os.environ:
        if name.startswith("TOLLKEEPER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_documented():
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_the_environment_wins_over_the_file(monkeypatch, tmp_path):
    (tmp_path / "tollkeeper.toml").write_text('web_port = 9000\nlog_level = "warning"\n')
    monkeypatch.setenv("TOLLKEEPER_WEB_PORT", "9001")
    config = load()
    assert (config.web_port, config.log_level) == (9001, "warning")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WEB_PORT", "0", "greater than or equal to 1"),
        ("WEB_PORT", "http", "valid integer"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("RADIUS_HOSTS", "nowhere", "does not appear to be an IPv4 or IPv6 address"),
        ("RADIUS_HOSTS", "", "at least one address"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "host bits set"),
        ("PUBLIC_URL", "portal.example", "http://"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(monkeypatch, name, value, words):
    monkeypatch.setenv(f"TOLLKEEPER_{name}", value)
    with pytest.raises(WrongSetting) as caught:
        load()
    assert f"TOLLKEEPER_{name}" in str(caught.value)
    assert words in str(caught.value)
    if name != "RADIUS_HOSTS" and name != "TRUSTED_PROXIES":
        assert value in str(caught.value)


def test_a_secret_is_never_shown(monkeypatch):
    monkeypatch.setenv("TOLLKEEPER_DATABASE_URL", "mysql://me:hunter2@db/x")
    with pytest.raises(WrongSetting, match="postgresql://") as caught:
        load()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(load(database_url="postgresql://me:hunter2@db/x"))


def test_secrets_are_read_from_files_named_like_their_variables(monkeypatch, tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "tollkeeper_database_url").write_text("postgresql://me:hunter2@/x?host=/run/postgresql\n")
    (folder / "tollkeeper_keys").write_text("not a setting, and none of our business\n")
    monkeypatch.setenv("TOLLKEEPER_SECRETS_DIR", str(folder))
    assert load().database_url.get_secret_value() == "postgresql://me:hunter2@/x?host=/run/postgresql"
    monkeypatch.setenv("TOLLKEEPER_DATABASE_URL", "postgresql://environment/wins")
    assert load().database_url.get_secret_value() == "postgresql://environment/wins"


def test_a_folder_of_secrets_that_is_not_there_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("TOLLKEEPER_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(WrongSetting, match=r"TOLLKEEPER_SECRETS_DIR is '.*nowhere'"):
        load()


@pytest.mark.parametrize("source", ["environment", "file"])
def test_a_name_that_does_not_exist_is_refused(monkeypatch, tmp_path, source):
    if source == "file":
        (tmp_path / "tollkeeper.toml").write_text("web_prot = 1\n")
    else:
        monkeypatch.setenv("TOLLKEEPER_WEB_PROT", "1")
    with pytest.raises(WrongSetting, match="no setting web_prot"):
        load()


def test_the_sandbox_stays_on_loopback(monkeypatch):
    monkeypatch.setenv("TOLLKEEPER_SANDBOX", "true")
    with pytest.raises(WrongSetting, match="loopback"):
        load()
    assert load(radius_hosts=("127.0.0.1", "::1")).sandbox


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        load().web_port = 1
