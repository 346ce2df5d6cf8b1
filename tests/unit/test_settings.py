"""The configuration: where it comes from, what goes before, what is said of mistakes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import JsonValue

from orchestrator.domain.errors import NotConfigured
from orchestrator.sealing import new_key, read_key
from orchestrator.settings import CONFIG_VARIABLE, PREFIX, Settings, load_settings

Json = dict[str, JsonValue]
Write = Callable[[Json], Path]

#: What `chainctl keys new` prints looks like these.
KEY = "SECRET".ljust(43, "A")
HASH_KEY = "SECRET".ljust(42, "B") + "A"
OLD_KEY = "SECRET".ljust(42, "C") + "A"

#: The least that has to be configured.
LEAST: Json = {
    "broker_url": "amqp://user:SECRET@mq.example/",
    "database_url": "postgresql://user:SECRET@db.example/chains",
    "public_url": "https://chains.example",
    "irma_server": {"url": "https://irma.example", "key": "SECRET"},
    "sealing": {"key": KEY, "hash_key": HASH_KEY},
    "requestors": {"acme": {"key": "SECRET"}},
}

LEAST_TOML = f"""
broker_url = "amqp://mq.example/"
database_url = "sqlite:///chains.db"
public_url = "https://chains.example"

[irma_server]
url = "https://irma.example"

[sealing]
key = "{KEY}"
hash_key = "{HASH_KEY}"

[requestors."Acme Shop"]
key = "SECRET"
routing_key = "acme"
"""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's environment counts."""
    for name in list(os.environ):
        if name.startswith(PREFIX) or name == "NOTIFY_SOCKET":
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the least configuration, with changes, as a JSON file."""

    def written(changes: Json) -> Path:
        file = tmp_path / "orchestrator.json"
        file.write_text(json.dumps(LEAST | changes))
        return file

    return written


def load(file: Path | None = None) -> Settings:
    """The settings as a process of this environment reads them."""
    return load_settings(file, os.environ)


def refused(file: Path | None = None) -> str:
    """What is said of a configuration that cannot be used; never a secret."""
    with pytest.raises(NotConfigured) as caught:
        load(file)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_the_least_configuration_has_the_designs_defaults(write: Write) -> None:
    """What nobody sets is what the design says."""
    settings = load(write({}))
    assert settings.bridge_budget_s == 3.0
    assert settings.confirm_budget_s == 0.2
    assert list(settings.retry.live_delays_s) == [0.25, 0.5, 1.0]
    background = [5, 30, 120, 600, 1800, 7200, 18000, 36000]
    assert list(settings.retry.background_delays_s) == background
    assert settings.callbacks.timeout_s == 20
    assert settings.callbacks.connect_timeout_s == 5
    assert settings.callbacks.reply_s == 3600
    assert settings.chain.steps_max == 20
    assert settings.chain.identical_max == 3
    assert settings.wall_time.days == 7
    assert settings.notify_socket is None
    assert not settings.allow_unsigned_callbacks


def test_toml_is_read_as_json_is(tmp_path: Path) -> None:
    """A file is TOML unless it ends in .json."""
    file = tmp_path / "orchestrator.toml"
    file.write_text(LEAST_TOML)
    settings = load(file)
    assert settings.requestor_keys() == {"Acme Shop": "acme"}
    assert settings.irma_server.url == "https://irma.example"


def test_the_environment_goes_before_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable wins over the file, field by field, nested names joined by `__`."""
    monkeypatch.setenv("ORCHESTRATOR_PUBLIC_URL", "https://other.example")
    monkeypatch.setenv("ORCHESTRATOR_IRMA_SERVER__MAX_SESSION_LIFETIME_S", "60")
    monkeypatch.setenv("ORCHESTRATOR_RETRY__LIVE_DELAYS_S", "[0.1]")
    settings = load(write({"retry": {"jitter": 0.5}}))
    assert settings.public_url == "https://other.example"
    assert settings.irma_server.max_session_lifetime_s == 60
    assert settings.irma_server.url == "https://irma.example"
    assert (settings.retry.jitter, settings.retry.live_delays_s) == (0.5, (0.1,))


@pytest.mark.parametrize(
    "kept_s,lifetime_s", [(1_799, 900), (None, 4 * 24 * 3600), (300, 151)]
)
def test_results_are_kept_for_as_long_as_sessions_may_live(
    write: Write, kept_s: float | None, lifetime_s: float
) -> None:
    """A session may end long after its chain; its end is not stored after the purge."""
    server: Json = {"url": "https://irma.example", "max_session_lifetime_s": lifetime_s}
    given: Json = {"irma_server": server}
    if kept_s is not None:
        given["results_kept_s"] = kept_s
    text = refused(write(given))
    assert "results_kept_s: " in text
    least = f"must be at least {2 * lifetime_s} s, twice"
    assert f"{least} irma_server.max_session_lifetime_s" in text
    settings = load(write(given | {"results_kept_s": 2 * lifetime_s}))
    assert settings.results_kept_s == 2 * lifetime_s


def test_a_workers_probes_have_a_port_of_its_own(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default nobody listens; the environment tells processes of one file apart."""
    assert load(write({})).health.listen is None
    monkeypatch.setenv("ORCHESTRATOR_HEALTH__LISTEN__PORT", "8091")
    listen = load(write({})).health.listen
    assert listen is not None
    assert (listen.host, listen.port) == ("127.0.0.1", 8091)


def test_the_environment_can_say_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is needed."""
    for name, value in LEAST.items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"{PREFIX}{name.upper()}", text)
    key = load().requestors["acme"].key
    assert key is not None
    assert key.get_secret_value() == "SECRET"


def test_the_file_may_be_named_by_the_environment(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ORCHESTRATOR_CONFIG` names the file, and a file that is given goes before it."""
    monkeypatch.setenv(CONFIG_VARIABLE, str(write({})))
    assert load().public_url == "https://chains.example"
    monkeypatch.setenv(CONFIG_VARIABLE, "/nowhere.toml")
    assert load(write({})).public_url == "https://chains.example"
    assert refused() == "the configuration file /nowhere.toml does not exist"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Neither defaults nor the environment stand in for a file that was asked for."""
    file = tmp_path / "gone.json"
    assert refused(file) == f"the configuration file {file} does not exist"
    assert "does not exist" in refused(tmp_path)


@pytest.mark.parametrize(
    "name,content,said",
    [
        ("x.json", b'{"broker_url": SECRET', "line 1"),
        ("x.toml", b"broker_url = SECRET", "line 1"),
        ("x.json", b'["SECRET"]', "object"),
        ("x.json", b"\xff\xfeSECRET", "utf-8"),
        ("x.toml", b"\xff\xfeSECRET", "utf-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    """The error says which file and where it stops being one."""
    file = tmp_path / name
    file.write_bytes(content)
    text = refused(file)
    assert text.startswith(f"{file} cannot be read")
    assert said in text


@pytest.mark.parametrize("name", ["ORCHESTRATOR_RETRY", "ORCHESTRATOR_REQUESTORS"])
def test_a_variable_that_is_no_json_is_named(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whole sections in a variable are JSON; what is not is refused without its value."""
    monkeypatch.setenv(name, "{SECRET")
    field = name.removeprefix(PREFIX).lower()
    assert f'the environment cannot be read: error parsing value for field "{field}"' in (
        refused(write({}))
    )


def test_every_wrong_value_is_named(write: Write) -> None:
    """One look tells all that has to be mended, and in which file."""
    file = write(
        {
            "broker_url": "http://user:SECRET@mq.example",
            "database_url": "mysql://user:SECRET@db.example/chains",
            "public_url": "SECRET.example",
            "sealing": {"key": "SECRET", "hash_key": "SECRET SECRET"},
            "jwt_privkey": "SECRET",
            "jwt_privkey_file": "/jwt.pem",
            "issue_perms": ["irma-demo.gemeente.*", "irma-demo"],
            "bridge_budget_s": 4.5,
            "irma_server": {"url": "ftp://SECRET", "token": "SECRET"},
            "retry": {"jitter": 1, "live_delays_s": ["SECRET"]},
            "requestors": {
                "acme": {"key": ["SECRET"], "disclose_perms": "SECRET"},
                "Other": {"key": "SECRET", "sign_perms": ["a.b.c", "a.b.c.d"]},
                "Dead": {"key": "SECRET"},
                "Two Words": {"key": "SECRET"},
            },
            "colour": "SECRET",
        }
    )
    text = refused(file)
    assert text.startswith(f"wrong configuration in {file}: ")
    places = {
        "broker_url",
        "database_url",
        "public_url",
        "sealing.key",
        "sealing.hash_key",
        "jwt_privkey_file",
        "issue_perms.1",
        "bridge_budget_s",
        "irma_server.url",
        "irma_server.token",
        "retry.jitter",
        "retry.live_delays_s.0",
        "requestors.acme.key",
        "requestors.acme.disclose_perms",
        "requestors.Other.sign_perms.0",
        "requestors.Dead.routing_key",
        "requestors.Two Words.routing_key",
        "colour",
    }
    said = text.removeprefix(f"wrong configuration in {file}: ").split("; ")
    assert {part.partition(": ")[0] for part in said} == places


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mq.example",
        "http://SECRET@mq.example",
        "amqp://",
        "amqps:///SECRET",
        "amqp://user:SECRET@mq.example:port/",
        "amqp://user:SECRET@[::1/",
    ],
)
def test_the_broker_is_named_by_an_amqp_url(write: Write, url: str) -> None:
    """What is no `amqp://` or `amqps://` with a host is refused, without repeating it."""
    said = "broker_url: must look like amqp://USER:PASSWORD@HOST:5672/VHOST"
    assert said in refused(write({"broker_url": url}))


@pytest.mark.parametrize(
    "url",
    [
        "SECRET:15672",
        "amqp://SECRET@mq.example",
        "http:///SECRET",
        "https://user:SECRET@mq.example:port/",
        "https://mq.example/SECRET",
    ],
)
def test_the_management_api_is_named_by_its_origin(write: Write, url: str) -> None:
    """What is no `http://` or `https://` with a host alone is refused, unrepeated."""
    said = "management_url: must look like http://USER:PASSWORD@HOST:15672"
    assert said in refused(write({"management_url": url}))


@pytest.mark.parametrize(
    "url", ["mq.example", "amqp://user:SECRET@mq.example", "amqps://mq.example/SECRET"]
)
def test_where_subscribers_connect_holds_no_credentials(write: Write, url: str) -> None:
    """They get their own, and the virtual host with them."""
    said = refused(write({"subscribers": {"broker_url": url}}))
    assert "subscribers.broker_url" in said


@pytest.mark.parametrize(
    "url",
    [
        "",
        "SECRET.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite://SECRET/chains.db",
        "mysql://SECRET/chains",
        "postgresql://",
    ],
)
def test_the_database_is_a_file_or_a_postgresql(write: Write, url: str) -> None:
    """Others, and SQLite without a file, are refused without repeating the URL."""
    said = "database_url: must be sqlite:///FILE or postgresql://"
    assert said in refused(write({"database_url": url}))


@pytest.mark.parametrize(
    "field,url",
    [
        ("broker_url", "amqps://user:SEC%2FRET@mq.example:5671/vhost?heartbeat=5"),
        ("broker_url", "amqp://[::1]"),
        ("management_url", "https://user:SEC%2FRET@mq.example:15671/"),
        ("database_url", "sqlite:////var/lib/chains.db"),
        ("database_url", "sqlite:///chains.db?timeout=1"),
        ("database_url", "postgresql+asyncpg://user:SECRET@db.example:5432/chains"),
        ("database_url", "postgresql:///chains"),
    ],
)
def test_urls_that_the_drivers_take_are_taken(write: Write, field: str, url: str) -> None:
    """Whatever else a URL says is the driver's to judge."""
    value = getattr(load(write({field: url})), field)
    assert value.get_secret_value() == url


@pytest.mark.parametrize(
    "keys,said",
    [
        ({"key": "SECRET", "hash_key": HASH_KEY}, "sealing.key: a key must"),
        ({"key": KEY, "hash_key": "!"}, "sealing.hash_key: a key must be"),
        (
            {"key": KEY, "hash_key": f" {KEY}="},
            "sealing.hash_key: must be another key than sealing.key",
        ),
    ],
)
def test_a_key_that_cannot_be_used_is_named(write: Write, keys: Json, said: str) -> None:
    """Which of the two, and why, but not the key."""
    assert said in refused(write({"sealing": keys}))


@pytest.mark.parametrize(
    "older,said",
    [
        ({"k1": OLD_KEY}, "sealing.older_keys: k1 is the id of sealing.key"),
        ({"k0": KEY}, "sealing.older_keys: k0 is the same key as sealing.key"),
        ({"k0": f"{HASH_KEY}="}, "k0 is the same key as sealing.hash_key"),
        ({"k0": OLD_KEY, "k2": f" {OLD_KEY}"}, "k2 is the same key as k0"),
        ({"k0": "SECRET"}, "sealing.older_keys.k0: a key must be"),
        ({OLD_KEY: "k0"}, "sealing.older_keys: a key's id is 1 to 16 letters and digits"),
        ({"k-0": OLD_KEY}, "a key's id is 1 to 16 letters and digits"),
        ([OLD_KEY], "sealing.older_keys: "),
    ],
)
def test_an_older_key_that_cannot_be_used_is_named(
    write: Write, older: JsonValue, said: str
) -> None:
    """By its id and never by itself, also where the two were mixed up."""
    sealing: Json = {"key": KEY, "hash_key": HASH_KEY, "older_keys": older}
    assert said in refused(write({"sealing": sealing}))


def test_older_keys_are_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the file and the environment, by their ids."""
    sealing: Json = {
        "key": KEY,
        "hash_key": HASH_KEY,
        "key_id": "k2",
        "older_keys": {"k1": OLD_KEY},
    }
    file = write({"sealing": sealing})
    assert load(file).sealing.older() == {"k1": read_key(OLD_KEY)}
    more = json.dumps({"k0": new_key()})
    monkeypatch.setenv("ORCHESTRATOR_SEALING__OLDER_KEYS", more)
    assert set(load(file).sealing.older()) == {"k0", "k1"}


def test_a_requestors_results_are_kept_as_long_as_its_sessions_may_live(
    write: Write,
) -> None:
    """Its own time is bounded as the common one is."""
    acme: Json = {"key": "SECRET", "results_kept_s": 1_799}
    said = "requestors: acme.results_kept_s: must be at least 1800 s, twice"
    assert said in refused(write({"requestors": {"acme": acme}}))
    acme["results_kept_s"] = 299
    text = refused(write({"requestors": {"acme": acme}}))
    assert "requestors.acme.results_kept_s: Input should be greater" in text
    acme["results_kept_s"] = 1_800
    assert load(write({"requestors": {"acme": acme}})).requestors["acme"] is not None


@pytest.mark.parametrize(
    "changes,place",
    [
        ({"disclose_perms": ["*", "a.*.c.d"]}, "disclose_perms.1"),
        ({"sign_perms": ["a.b.c"]}, "sign_perms.0"),
        ({"issue_perms": ["a.b.c.d"]}, "issue_perms.0"),
        (
            {"requestors": {"acme": {"key": "SECRET", "issue_perms": [""]}}},
            "requestors.acme.issue_perms.0",
        ),
    ],
)
def test_an_entry_that_permits_nothing_is_named(
    write: Write, changes: Json, place: str
) -> None:
    """As the IRMA server, which refuses to start with a pattern that never matches."""
    parts = 3 if "issue" in place else 4
    text = refused(write(changes))
    assert f": {place}: '" in text
    assert text.endswith(f"must have {parts} parts, or fewer with a '*' as its last")


@pytest.mark.parametrize(
    "changes", [{"callbacks": {"concurrency": 63}}, {"isolation": {"limit": 17}}]
)
def test_one_endpoint_leaves_room_for_others(write: Write, changes: Json) -> None:
    """What a worker has in hand is at least four times what one endpoint may take."""
    said = "isolation: limit: callbacks.concurrency must be at least 4 times"
    assert said in refused(write(changes))
    written = write({"callbacks": {"concurrency": 8}, "isolation": {"limit": 2}})
    assert load(written).isolation.limit == 2


@pytest.mark.parametrize(
    "changes", [{"bridge_budget_s": 3.85}, {"bridge_budget_s": 3, "confirm_budget_s": 1}]
)
def test_the_budgets_stay_below_the_irma_servers_patience(
    write: Write, changes: Json
) -> None:
    """Both are spent while the app waits, and the IRMA server cuts it off at 4.2 s."""
    said = "confirm_budget_s: with bridge_budget_s it must stay below 4 s"
    assert said in refused(write(changes))


def test_what_is_missing_is_named() -> None:
    """An empty environment lists what it needs."""
    text = refused()
    assert text.startswith("wrong configuration: ")
    missing = ("broker_url", "database_url", "public_url", "irma_server", "sealing")
    for name in missing:
        assert f"{name}: Field required" in text


@pytest.mark.parametrize(
    "name", ["ORCHESTRATOR_BROKERURL", "ORCHESTRATOR_", "ORCHESTRATOR_IRMA_SERVR__URL"]
)
def test_misspelt_variables_are_refused(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A variable with our prefix that sets nothing is a mistake, not noise."""
    monkeypatch.setenv(name, "SECRET")
    assert refused(write({})) == f"unknown setting in the environment: {name}"


def test_misspelt_nested_variables_are_refused(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is one whose section exists."""
    monkeypatch.setenv("ORCHESTRATOR_IRMA_SERVER__ULR", "SECRET")
    assert "irma_server.ulr: Extra inputs are not permitted" in refused(write({}))


def test_two_jwt_keys_contradict_each_other(write: Write) -> None:
    """The key is given once, as text or as a file."""
    file = write({"jwt_privkey": "SECRET", "jwt_privkey_file": "/jwt.pem"})
    assert "give jwt_privkey or jwt_privkey_file, not both" in refused(file)


def test_somebody_has_to_be_admitted(write: Write) -> None:
    """Without requestors nobody could start a chain, unless anybody may."""
    assert "configure at least one, or set no_auth" in refused(write({"requestors": {}}))
    assert load(write({"requestors": {}, "no_auth": True})).requestor_keys() == {}


@pytest.mark.parametrize(
    "requestors,said",
    [
        ({"Dead": {"key": "SECRET"}}, "'dead' is a reserved word"),
        ({"x": {"key": "SECRET", "routing_key": "amq"}}, "'amq' is a reserved word"),
        ({"x": {"key": "SECRET", "routing_key": "anonymous"}}, "is a reserved word"),
        ({"Acme Shop": {"key": "SECRET"}}, "configure one for this requestor"),
        ({"x": {"key": "SECRET", "routing_key": "a.b"}}, "is not 1 to 100 of a-z"),
        (
            {"Acme": {"key": "SECRET"}, "acme": {"key": "SECRET"}},
            "'Acme' and 'acme' have the same key 'acme'",
        ),
    ],
)
def test_each_requestor_needs_a_key_of_its_own(
    write: Write, requestors: Json, said: str
) -> None:
    """Reserved, unusable and doubled keys are refused at the start, with the name."""
    text = refused(write({"requestors": requestors}))
    assert f"requestors.{list(requestors)[-1]}.routing_key: " in text
    assert said in text


def test_the_one_who_starts_us_is_told_where_it_said(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`NOTIFY_SOCKET` is systemd's own name, without our prefix; the file may say it."""
    assert load(write({"notify_socket": "@file"})).notify_socket == "@file"
    monkeypatch.setenv("NOTIFY_SOCKET", "@abstract")
    assert load(write({"notify_socket": "@file"})).notify_socket == "@abstract"


def test_secrets_are_not_shown(write: Write) -> None:
    """Whoever prints the settings prints no secret."""
    settings = load(write({"jwt_privkey": "SECRET"}))
    assert "SECRET" not in repr(settings)
    assert "SECRET" not in str(settings)
    assert "SECRET" not in settings.model_dump_json()


def test_settings_cannot_be_changed(write: Write) -> None:
    """They are read once and hold for the life of the process."""
    settings = load(write({}))
    with pytest.raises(ValueError, match="frozen"):
        settings.public_url = "x"  # type: ignore[misc] # mypy knows it too


def test_two_requestors_with_one_key_are_refused(write: Write) -> None:
    """Nobody could tell them apart; the text names both and not the key."""
    both: Json = {"acme": {"key": "SECRET"}, "other": {"key": "SECRET"}}
    text = refused(write({"requestors": both}))
    assert "requestors: acme and other have the same key" in text
