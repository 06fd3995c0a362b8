"""The configuration is read whole, checked whole, and keeps its secrets to itself."""

from __future__ import annotations

import re
import traceback
from base64 import b64encode
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from socket import gethostname
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from archiver.errors import ConfigError
from receiver.config import from_tree, host_and_port, load
from receiver.settings import Config

SECRET = "hush-hush"
SIGNING = f"whsec_{b64encode(bytes(32)).decode()}"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are the test's own, and no holdfast.toml lies about."""
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "operators.toml") -> Path:
    """A configuration file with this text."""
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def secrets_of(config: Config) -> dict[str, str]:
    assert config.providers.doitong is not None
    return config.providers.doitong.secrets


class TestLayers:
    """Defaults, under a file, under the environment, under flags."""

    def test_defaults(self) -> None:
        """Nothing need be configured to begin with; nothing is received either."""
        config = load(None, environ={})

        assert config == from_tree({})
        assert (config.listen.public, config.listen.private) == ("127.0.0.1:8080", "127.0.0.1:8081")
        assert config.providers.doitong is None
        assert not config.egress.allow_http
        assert not config.egress.allow_cidrs
        assert not config.catalog.allow_unsafe_sqlite

    @pytest.mark.parametrize(
        ("environ", "flags", "expected"),
        [
            ({}, {}, "127.0.0.1:1"),
            ({"HOLDFAST_LISTEN__PUBLIC": "127.0.0.1:2"}, {}, "127.0.0.1:2"),
            ({}, {"listen.public": "127.0.0.1:3"}, "127.0.0.1:3"),
            (
                {"HOLDFAST_LISTEN__PUBLIC": "127.0.0.1:2"},
                {"listen.public": "127.0.0.1:3"},
                "127.0.0.1:3",
            ),
            (
                {"HOLDFAST_LISTEN__PUBLIC": "127.0.0.1:2"},
                {"listen.public": None, "listen.private": None},
                "127.0.0.1:2",
            ),
        ],
    )
    def test_the_later_layer_wins(
        self, environ: dict[str, str], flags: dict[str, Any], expected: str
    ) -> None:
        """And leaves all else as it was; a flag not given says nothing."""
        file = written('[listen]\npublic = "127.0.0.1:1"\nread_seconds = 3')
        config = load(file, environ=environ, flags=flags)

        assert (config.listen.public, config.listen.read_seconds) == (expected, 3.0)

    def test_the_file_that_lies_here_is_read_unasked(self) -> None:
        """`holdfast.toml`, unless another is named."""
        written('public_url = "https://here.example"', "holdfast.toml")

        assert load(None, environ={}).public_url == "https://here.example"
        assert load(written(""), environ={}).public_url == ""

    def test_the_environment_is_the_process_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Unless a test says otherwise."""
        monkeypatch.setenv("HOLDFAST_PUBLIC_URL", "https://env.example")
        monkeypatch.setenv("HOLDFASTER_PUBLIC_URL", "https://another.example")
        monkeypatch.setenv("HOLDFAST_CONFIG", "read by the command, no setting")

        assert load(None).public_url == "https://env.example"

    def test_the_environment_is_written_as_toml_where_text_would_not_do(self) -> None:
        """Lists, tables, numbers and truths arrive as what they are."""
        config = load(
            None,
            environ={
                "HOLDFAST_EGRESS__ALLOW_PORTS": "[443, 8443]",
                "HOLDFAST_EGRESS__ALLOW_CIDRS": '["127.0.0.0/8", "::1/128"]',
                "HOLDFAST_EGRESS__ALLOW_HTTP": "true",
                "HOLDFAST_ARCHIVE__PATIENCE_SECONDS": "1.5",
                "HOLDFAST_PROVIDERS__DOITONG__SECRETS": '{ "2026-11" = "[no list]" }',
                "HOLDFAST_BUCKET__REGION": "[eu]",
            },
        )

        assert config.egress.allow_ports == (443, 8443)
        assert config.egress.networks == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
        assert config.egress.allow_http
        assert config.archive.patience_seconds == 1.5
        assert secrets_of(config) == {"2026-11": "[no list]"}
        assert config.bucket.region == "[eu]"


class TestPaths:
    """Roles may run anywhere, so every path becomes absolute."""

    @pytest.mark.parametrize(
        ("url", "path"),
        [
            ("sqlite:///data/catalog.db", "{cwd}/data/catalog.db"),
            ("sqlite:////var/lib/catalog.db", "/var/lib/catalog.db"),
        ],
    )
    def test_catalog(self, url: str, path: str) -> None:
        """Three slashes before a relative path, four before an absolute one."""
        expected = Path(path.format(cwd=Path.cwd()))
        catalog = from_tree({"catalog": {"url": url}}).catalog

        assert (catalog.path, catalog.url) == (expected, f"sqlite:///{expected}")
        assert catalog.inbox_folder == expected.parent / "inbox"
        assert catalog.where == catalog.path

    @pytest.mark.parametrize(
        ("url", "where"),
        [
            ("postgresql://me@db/x", "postgresql://me@db/x?password=a%2Fb%26"),
            ("postgres:///x?host=/run/p", "postgres:///x?host=/run/p&password=a%2Fb%26"),
        ],
    )
    def test_catalog_on_a_server(self, url: str, where: str) -> None:
        """All nodes share it; what stays on this machine has a folder and a name."""
        told = {"url": url, "password": "a/b&", "data_folder": "here", "node": "one"}
        catalog = from_tree({"catalog": told}).catalog

        assert (catalog.where, catalog.url) == (where, url)
        assert (catalog.folder, catalog.node_name) == (Path.cwd() / "here", "one")
        assert "a/b&" not in repr(catalog)
        with pytest.raises(ConfigError, match="On PostgreSQL"):
            _ = catalog.path

    def test_a_node_is_called_as_its_host(self) -> None:
        """Where nobody says otherwise."""
        assert from_tree({}).catalog.node_name == gethostname()

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("file:my bucket", "file://{cwd}/my%20bucket"),
            ("file:my%20bucket", "file://{cwd}/my%20bucket"),
            ("file:100%25", "file://{cwd}/100%25"),
            ("file:/srv/bucket", "file:///srv/bucket"),
            ("file:///srv/bucket", "file:///srv/bucket"),
            ("s3://my-archive/prefix", "s3://my-archive/prefix"),
        ],
    )
    def test_bucket(self, url: str, expected: str) -> None:
        """A folder's URL is made whole, and stays so; another's is left alone."""
        bucket = from_tree({"bucket": {"url": url}}).bucket

        assert bucket.url == expected.format(cwd=Path.cwd())
        assert from_tree({"bucket": {"url": bucket.url}}).bucket == bucket


def test_what_is_said_of_drawing_is_passed_on_as_it_is() -> None:
    """The wing that draws knows what it means, and checks it; a variable may add to it."""
    file = written('[render.checkpoints.mine]\nfamily = "any"\npath = "weights"')
    config = load(file, environ={"HOLDFAST_RENDER__IDLE_SECONDS": "2.5"})

    mine = {"family": "any", "path": "weights"}
    assert config.render == {"checkpoints": {"mine": mine}, "idle_seconds": "2.5"}


def test_a_token_may_be_a_renderers() -> None:
    """It is given no other scope by that."""
    tokens = from_tree({"tokens": {"gpu": {"sha256": "0f" * 32, "scopes": ["worker"]}}}).tokens

    assert tokens["gpu"].scopes == ("worker",)


class TestSecrets:
    """A secret is handed to the roles and shown to nobody."""

    def test_beside_a_file(self) -> None:
        """Files join the secrets written out, less the white space at their ends."""
        Path("november").write_text(f"{SECRET}\n", encoding="utf-8")
        config = from_tree(
            {"providers": {"doitong": {"secrets": {"a": "b"}, "secrets_file": {"n": "november"}}}}
        )

        assert secrets_of(config) == {"a": "b", "n": SECRET}
        assert config.providers.doitong is not None
        assert config.providers.doitong.secrets_file == {}

    def test_is_shown_nowhere(self) -> None:
        """Neither by repr nor by str, of the whole or of the part, nor by rich; the label is."""
        config = from_tree({"providers": {"doitong": {"secrets": {"2026-11": SECRET}}}})
        shown = [
            text(part)
            for part in (config, config.providers, config.providers.doitong)
            for text in (repr, str, pretty_repr)
        ]

        assert not [text for text in shown if SECRET in text]
        assert all("2026-11" in text and "cdn.doitong.com" in text for text in shown)

    def test_of_whoever_signs_is_read_and_shown_nowhere(self) -> None:
        """The key that signs manifests may lie in a file, too; of the trusted ones labels show."""
        Path("manifests.key").write_text(f"{SECRET}\n", encoding="utf-8")
        keys = {"2025": "a public key"}
        config = from_tree(
            {"manifests": {"signing_key_file": "manifests.key", "trusted_keys": keys}}
        )
        assert config.manifests.signing_key == SECRET
        shown = [text(it) for it in (config, config.manifests) for text in (repr, pretty_repr)]
        assert not [text for text in shown if SECRET in text]
        assert all("2025" in text for text in shown)

    @pytest.mark.parametrize(
        "doitong",
        [
            {"secrets": SECRET},
            {"secrets": [SECRET]},
            {"secrets": {"2026-11": [SECRET]}},
            {"secrets": {"2026-11": {"secret": SECRET}}},
            {"secrets": {"2026-11": SECRET}, "hosts": []},
            {"secrets": {"2026-11": SECRET}, "download_hosts": 7},
            {"secrets": {"2026-11": SECRET}, "secrets_file": {"2026-10": "missing"}},
        ],
    )
    def test_is_in_no_error(self, doitong: dict[str, Any]) -> None:
        """Nor in any error that led to it."""
        with pytest.raises(ConfigError) as caught:
            from_tree({"providers": {"doitong": doitong}})

        assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))

    @pytest.mark.parametrize("user", [f"user:{SECRET}", f":{SECRET}", SECRET])
    @pytest.mark.parametrize(
        ("tree_of", "setting"),
        [
            (
                lambda url: {"providers": {"modelslab": {"base_url": url}}},
                "providers.modelslab.base_url",
            ),
            (lambda url: {"notify": {"url": url, "secrets": {"a": SIGNING}}}, "notify.url"),
        ],
    )
    def test_has_no_place_in_a_url(
        self, tree_of: Callable[[str], dict[str, Any]], setting: str, user: str
    ) -> None:
        """It would be shown wherever the URL is."""
        with pytest.raises(ConfigError, match=rf"{setting} is not https://host") as caught:
            from_tree(tree_of(f"https://{user}@host"))

        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize(
        "line",
        [
            f'secrets = {{ "2026-11" = "{SECRET}" ',
            f'secrets = {{ "2026-11" = "{SECRET}',
            f"secrets = {{ 2026 = {SECRET} }}",
            f'secrets = {{ a = "{SECRET}", a = "{SECRET}" }}',
        ],
    )
    def test_is_in_no_error_of_the_file(self, line: str) -> None:
        """A slip of the pen beside the secret does not print it."""
        with pytest.raises(ConfigError) as caught:
            load(written(f"[providers.doitong]\n{line}\n"), environ={})

        assert SECRET not in str(caught.value)

    def test_is_in_no_error_of_the_environment(self) -> None:
        """There neither."""
        environ = {"HOLDFAST_PROVIDERS__DOITONG__SECRETS": f'{{ "2026-11" = "{SECRET}" '}
        with pytest.raises(ConfigError) as caught:
            load(None, environ=environ)

        assert SECRET not in str(caught.value)


# A tree that is wrong, and what its error must name.
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown table": ({"listeners": {}}, "no setting is called listeners"),
    "an unknown name": ({"listen": {"publik": "x"}}, "no setting is called listen.publik"),
    "an unknown provider": (
        {"providers": {"midjourney": {}}},
        "no setting is called providers.midjourney",
    ),
    "an unknown name deep down": (
        {"providers": {"doitong": {"secret": "x"}}},
        "no setting is called providers.doitong.secret",
    ),
    "a wrong type": (
        {"archive": {"fetches": "many"}},
        "archive.fetches: expected `int`, got `str`",
    ),
    "a token's hash that is none": ({"tokens": {"reader": {"sha256": "zz"}}}, "matching regex"),
    "a scope that is none": (
        {"tokens": {"reader": {"sha256": "0f" * 32, "scopes": ["raed"]}}},
        "scopes[0]: invalid enum value 'raed'",
    ),
    "no fetches at all": (
        {"archive": {"fetches_per_host": 0}},
        "archive.fetches_per_host: expected `int` >= 1",
    ),
    "a token without its hash": ({"tokens": {"reader": {}}}, "missing required field `sha256`"),
    "no host": ({"listen": {"public": ":8080"}}, "listen.public = ':8080' is not host:port"),
    "no port": ({"listen": {"private": "localhost"}}, "listen.private = 'localhost'"),
    "a port beyond all": ({"listen": {"public": "localhost:65536"}}, "listen.public"),
    "a port of too many digits": ({"listen": {"public": f"a:{'9' * 5000}"}}, "listen.public"),
    "a port in no digits": ({"listen": {"public": "localhost:http"}}, "listen.public"),
    "a port in odd digits": ({"listen": {"public": "localhost:²"}}, "listen.public"),
    "a proxy that is none": (
        {"listen": {"trusted_proxies": ["me"]}},
        "listen.trusted_proxies: 'me'",
    ),
    "a network with host bits": (
        {"egress": {"allow_cidrs": ["10.0.0.1/8"]}},
        "egress.allow_cidrs: 10.0.0.1/8 has host bits set",
    ),
    "another database": ({"catalog": {"url": "mysql://x/y"}}, "catalog.url = 'mysql://x/y'"),
    "a password in the URL": (
        {"catalog": {"url": "postgresql://me:secret@db/holdfast"}},
        "catalog.url has a password in it",
    ),
    "a password among its parameters": (
        {"catalog": {"url": "postgres:///holdfast?host=db&password=x"}},
        "catalog.url has a password in it",
    ),
    "a password for another database": (
        {"catalog": {"url": "postgresql+psycopg://me:hush@db/x"}},
        "catalog.url = 'postgresql+psycopg://db/x' is not",
    ),
    "a node with a space": (
        {"catalog": {"url": "postgresql://db/x", "node": "a b"}},
        "catalog.node = 'a b'",
    ),
    "a database without a path": ({"catalog": {"url": "sqlite:///"}}, "catalog.url = 'sqlite:///'"),
    "a folder on another host": (
        {"bucket": {"url": "file://host/x"}},
        "bucket.url = 'file://host/x'",
    ),
    "a folder without a path": ({"bucket": {"url": "file:"}}, "bucket.url = 'file:'"),
    "a signing key's file that is not there": (
        {"manifests": {"signing_key_file": "missing"}},
        "manifests.signing_key_file: missing cannot be read",
    ),
    "a signing key's file that none can be": (
        {"manifests": {"signing_key_file": "a\0b"}},
        r"manifests.signing_key_file: 'a\x00b' cannot be read",
    ),
    "an origin with a path": (
        {"providers": {"modelslab": {"base_url": "https://host/path"}}},
        "providers.modelslab.base_url is not https://host",
    ),
    "an origin with half a bracket": (
        {"providers": {"modelslab": {"base_url": "https://[x"}}},
        "providers.modelslab.base_url is not https://host",
    ),
    "an origin with a port beyond all": (
        {"providers": {"modelslab": {"base_url": "https://host:99999"}}},
        "providers.modelslab.base_url is not https://host",
    ),
    "an age of nothing": ({"inbox": {"keep_days": 0}}, "inbox.keep_days: expected `float` > 0"),
    "a secret's file that is not there": (
        {"providers": {"doitong": {"secrets_file": {"2026-11": "missing"}}}},
        "providers.doitong.secrets_file.2026-11: missing cannot be read",
    ),
}


class TestMistakes:
    """A mistake is refused with the place where it stands."""

    @pytest.mark.parametrize(("tree", "names"), MISTAKES.values(), ids=MISTAKES)
    def test_is_named(self, tree: dict[str, Any], names: str) -> None:
        """Before any role is started."""
        with pytest.raises(ConfigError, match=re.escape(names)):
            from_tree(tree)

    @pytest.mark.parametrize(
        ("environ", "names"),
        [
            ({"HOLDFAST_LISTN__PUBLIC": "x"}, "no setting is called listn"),
            ({"HOLDFAST_LISTEN": "x"}, "wrong: listen: expected `object`, got `str`"),
            ({"HOLDFAST_PUBLIC_URL__X": "x"}, "public_url.x: public_url is not a table"),
            ({"HOLDFAST_EGRESS__ALLOW_PORTS": "[443"}, "wrong: egress.allow_ports: "),
        ],
    )
    def test_of_the_environment(self, environ: dict[str, str], names: str) -> None:
        """A variable of ours that means nothing is a mistake, too."""
        file = written('public_url = "https://hooks.example"')
        with pytest.raises(ConfigError, match=re.escape(names)):
            load(file, environ=environ)

    @pytest.mark.parametrize(
        ("content", "names"),
        [
            (b"[listen", "operators.toml is not TOML"),
            (b'public_url = "\xff"', "operators.toml is not TOML"),
            (None, "operators.toml cannot be read: No such file or directory"),
        ],
    )
    def test_of_the_file(self, content: bytes | None, names: str) -> None:
        """One that is named must be there, and be TOML."""
        file = Path("operators.toml")
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigError, match=re.escape(names)):
            load(file, environ={})

    def test_of_a_secrets_file(self) -> None:
        """It must be text."""
        Path("november").write_bytes(b"\xff")
        with pytest.raises(ConfigError, match=r"secrets_file\.n: november cannot be read"):
            from_tree({"providers": {"doitong": {"secrets_file": {"n": "november"}}}})


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::1]:8080", ("::1", 8080)),
        ("0.0.0.0:08080", ("0.0.0.0", 8080)),
    ],
)
def test_host_and_port(listen: str, expected: tuple[str, int]) -> None:
    """IPv6 stands in brackets, as in a URL."""
    assert host_and_port(listen, "listen.public") == expected


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
TREES = st.fixed_dictionaries(
    {},
    optional={
        "public_url": TEXTS,
        "listen": st.fixed_dictionaries(
            {}, optional={"trusted_proxies": st.lists(st.ip_addresses().map(str), max_size=3)}
        ),
        "bucket": st.sampled_from([{"url": "s3://a"}, {"url": "file:b c", "region": None}]),
        "providers": st.fixed_dictionaries(
            {"doitong": st.fixed_dictionaries({"secrets": st.dictionaries(TEXTS, TEXTS)})}
        ),
        "egress": st.fixed_dictionaries(
            {"allow_ports": st.lists(st.integers(1, 65535)), "allow_http": st.booleans()}
        ),
        "archive": st.fixed_dictionaries({"patience_seconds": st.floats(0, 1e6)}),
        "tokens": st.dictionaries(TEXTS, st.just({"sha256": "0f" * 32, "scopes": ["read"]})),
        "render": st.dictionaries(
            TEXTS, st.dictionaries(TEXTS, TEXTS | st.booleans() | st.integers(0, 9)), max_size=3
        ),
    },
)


@given(TREES)
def test_a_role_gets_what_the_parent_read(tree: dict[str, Any]) -> None:
    """All of it comes out of the pipe as it went in, the secrets too."""
    config = from_tree(tree)

    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config
