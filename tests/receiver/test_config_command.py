"""`holdfast config`: what is wrong is said before a role has to, what is shown keeps secrets."""

from __future__ import annotations

import json
import tomllib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from receiver.cli import main
from receiver.config import from_tree
from receiver.effective import as_toml, changed
from receiver.layers import Layered, gather

SECRET = "hush-hush-hush"
KEY = Ed25519PrivateKey.generate().private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
).decode()  # fmt: skip
SIGNING = f"whsec_{b64encode(bytes(32)).decode()}"
TOKEN = {"tokens": {"reader": {"sha256": "0f" * 32}}}
WELL: dict[str, Any] = {"providers": {"doitong": {"secrets": {"2026-11": SECRET}}}}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are the test's own."""
    monkeypatch.chdir(tmp_path)


def typed(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["config", *arguments], env=env)


def toml(tree: dict[str, Any]) -> str:
    """A tree of tables as a file."""
    lines = []
    for table, values in tree.items():
        lines.append(f"[{table}]")
        lines += [f"{name} = {_value(value)}" for name, value in values.items()]
    return "\n".join(lines)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(k)} = {_value(v)}' for k, v in value.items())} }}"
    return json.dumps(value)


def written(more: dict[str, Any], *, provider: bool = True) -> None:
    """`holdfast.toml` in this folder."""
    own = {"providers.doitong": {"secrets": {"2026-11": SECRET}}} if provider else {}
    Path("holdfast.toml").write_text(toml(own | more), encoding="utf-8")


# What is wrong with a file, and what must be said of it.
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no provider": ({}, "no provider is configured"),
    "an unknown name": ({"listen": {"publik": "x"}}, "no setting is called listen.publik"),
    "open to all": ({"listen": {"private": "0.0.0.0:1"}}, "add [tokens.NAME]"),
    "a signing key that is none": (
        {"manifests": {"signing_key": SECRET}},
        "manifests.signing_key is no Ed25519 private key",
    ),
    "a trusted key that is none": (
        {"manifests": {"trusted_keys": {"a": "no key"}}},
        "is no Ed25519 public key",
    ),
    "a signing key's file that is not there": (
        {"manifests": {"signing_key_file": "missing"}},
        "manifests.signing_key_file: missing cannot be read: No such file",
    ),
    "a secret's file that is empty": (
        {"providers.doitong": {"keys_file": {"main": "empty"}}},
        "providers.doitong.keys_file.main: empty is empty",
    ),
    "an unsafe receiver": (
        {"notify": {"url": "http://x.example/", "secrets": {"a": SIGNING}}},
        "notify.allow_http = true would permit it",
    ),
    "a receiver without a secret": (
        {"notify": {"url": "https://x.example/"}},
        "notify.url needs notify.secrets",
    ),
    "a receiver that is none": (
        {"notify": {"url": "https://[x", "secrets": {"a": SIGNING}}},
        "notify.url is not https://host/path",
    ),
    "a receiver at a port beyond all": (
        {"notify": {"url": "https://x.example:99999/", "secrets": {"a": SIGNING}}},
        "notify.url is not https://host/path",
    ),
    "a receiver at a port in no digits": (
        {"notify": {"url": "https://x.example:abc/", "secrets": {"a": SIGNING}}},
        "notify.url is not https://host/path",
    ),
    "a bucket that is none": (
        {"bucket": {"url": "ftp://nowhere"}},
        "bucket.url is 'ftp://nowhere'",
    ),
    "a bucket of half a bracket": ({"bucket": {"url": "s3://[x"}}, "bucket.url is no URL"),
    "a bucket that no file can be called": (
        {"bucket": {"url": "file:///a%00b"}},
        "bucket.url is 'file:///a%00b'",
    ),
    "a bucket with credentials": (
        {"bucket": {"url": f"s3://key:{SECRET}@bucket"}},
        "bucket.url takes no credentials",
    ),
    "a receiver's secret that is none": (
        {"notify": {"secrets": {"a": SECRET}}},
        "notify.secrets.a is no secret of Standard Webhooks",
    ),
    "an event that is none": (
        {"notify": {"events": ["dead"]}},
        "notify.events[0]: invalid enum value 'dead'",
    ),
    "a receiver within": (
        {"notify": {"url": "https://10.1.2.3/", "secrets": {"a": SIGNING}}},
        "notify.url leads to 10.1.2.3, which is not public",
    ),
    "a checkpoint of no family": (
        {"render.checkpoints.x": {"family": "none", "path": "x"}},
        "render.checkpoints.x",
    ),
}


class TestCheck:
    """Everything is read, and nothing touched."""

    @pytest.mark.parametrize(("tree", "says"), MISTAKES.values(), ids=MISTAKES)
    def test_names_file_and_setting(self, tree: dict[str, Any], says: str) -> None:
        """Exit code 1, in words and for machines; no secret is told."""
        Path("empty").touch()
        written(tree, provider=bool(tree))
        done = typed("check")
        assert done.exit_code == 1
        assert done.stderr.startswith("holdfast.toml: ")
        assert says in done.stderr
        assert SECRET not in done.output
        told = json.loads(typed("check", "--json").stdout)
        assert (told["file"], told["well"]) == ("holdfast.toml", False)
        assert says in told["mistakes"][0]

    def test_names_every_mistake_at_once(self) -> None:
        """Those that hide no others."""
        written(MISTAKES["open to all"][0] | MISTAKES["a receiver within"][0])
        assert len(json.loads(typed("check", "--json").stdout)["mistakes"]) == 2

    def test_is_content_with_what_is_well(self) -> None:
        """Files of secrets too; nothing is made."""
        Path("key").write_text(KEY)
        Path("secret").write_text(f"{SIGNING}\n")
        notify = {"url": "https://10.1.2.3/", "allow_cidrs": ["10.0.0.0/8"]}
        written(
            {
                "manifests": {"signing_key_file": "key"},
                "notify": {**notify, "secrets_file": {"a": "secret"}},
                "listen": {"private": "0.0.0.0:1"},
                "tokens.reader": {"sha256": "0f" * 32},
            }
        )
        done = typed("check")
        assert (done.exit_code, done.stdout) == (0, "holdfast.toml: well\n")
        assert sorted(path.name for path in Path().iterdir()) == ["holdfast.toml", "key", "secret"]


class TestShow:
    """What takes effect, and who says so."""

    def test_says_where_each_is_from(self) -> None:
        """A default, a file, the environment; of a secret in a file, which."""
        Path("november").write_text(f"{SECRET}\n")
        Path("holdfast.toml").write_text(
            toml(
                {
                    "listen": {"public": "127.0.0.1:1"},
                    "providers.doitong": {
                        "keys": {"main": SECRET},
                        "secrets_file": {"2026-11": "november"},
                    },
                    "manifests": {"signing_key": KEY},
                }
            )
        )
        env = {
            "HOLDFAST_LISTEN__PRIVATE": "127.0.0.1:2",
            "HOLDFAST_PROVIDERS__DASHSCOPE__KEYS_FILE__MAIN": "november",
        }
        shown = json.loads(typed("show", "--json", env=env).stdout)
        assert shown["listen.public"] == {"value": "127.0.0.1:1", "from": "holdfast.toml"}
        assert shown["listen.private"]["from"] == "HOLDFAST_LISTEN__PRIVATE"
        assert shown["listen.gateway"] == {"value": "127.0.0.1:8082", "from": "default"}
        mark = "sha256:4f4ee5b0c40d…"
        secret = "providers.doitong.secrets.2026-11"
        assert shown[secret] == {"value": mark, "from": "holdfast.toml: november"}
        assert shown["providers.doitong.keys.main"] == {"value": mark, "from": "holdfast.toml"}
        assert shown["providers.dashscope.keys.main"] == {
            "value": mark,
            "from": "HOLDFAST_PROVIDERS__DASHSCOPE__KEYS_FILE__MAIN: november",
        }
        assert shown["manifests.signing_key"]["value"].startswith("sha256:")
        assert shown["providers.modelslab"] == {"value": None, "from": "default"}

    def test_is_toml_without_any_secret(self) -> None:
        """It can be read as what it shows; of a URL the query is left out."""
        written(
            {
                "notify": {"url": "https://x.example/a?t=hush", "secrets": {"a b": SIGNING}},
                "render.checkpoints.x": {"family": "sd15", "path": 'a "b"\x7f'},
                "render": {"hf_token": "hush", "mirrors": ["https://u:hush@m.example/a"]},
                "providers.modelslab": {"download_hosts": ["https://cdn.example/?t=hush"]},
                **{f"tokens.{name}": token for name, token in TOKEN["tokens"].items()},
            }
        )
        done = typed("show")
        assert done.exit_code == 0
        for secret in (SECRET, SIGNING, "hush"):
            assert secret not in done.stdout
        read = tomllib.loads(done.stdout)
        assert read["notify"]["url"] == "https://x.example/a?…"
        assert read["render"] == {
            "checkpoints": {"x": {"family": "sd15", "path": 'a "b"\x7f'}},
            "hf_token": "…",
            "mirrors": ["https://m.example/a"],
        }
        assert "a b" in read["notify"]["secrets"]
        assert "# endpoint is not set  # default" in done.stdout

    def test_says_what_is_wrong(self) -> None:
        """As every command."""
        written({"listen": {"publik": "x"}})
        done = typed("show")
        assert done.exit_code == 1
        assert "no setting is called listen.publik" in done.stderr


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
TREES = st.fixed_dictionaries(
    {},
    optional={
        "public_url": TEXTS.filter(lambda text: ":" not in text and "%" not in text),
        "egress": st.fixed_dictionaries(
            {"allow_ports": st.lists(st.integers(1, 65535)), "allow_http": st.booleans()}
        ),
        "providers": st.fixed_dictionaries(
            {"modelslab": st.fixed_dictionaries({"gateway": st.booleans()})}
        ),
        "gateway": st.fixed_dictionaries(
            {"clients": st.dictionaries(TEXTS, st.just("0f" * 32), max_size=3)}
        ),
        "archive": st.fixed_dictionaries({"patience_seconds": st.floats(0, 1e6)}),
        "tokens": st.dictionaries(TEXTS, st.just({"sha256": "0f" * 32}), max_size=2),
    },
)


@given(TREES)
def test_what_is_shown_comes_to_the_same(tree: dict[str, Any]) -> None:
    """A configuration without secrets, written down as it is shown, is the same configuration."""
    config = from_tree(tree)
    again = from_tree(tomllib.loads(as_toml(config, Layered(tree=tree))))
    assert again == config
    assert changed(config, again) == []


def test_what_changed_is_named_and_not_told() -> None:
    """By the label, for secrets; a table that comes or goes as well."""
    old = from_tree(WELL)
    secrets = {"2026-11": "another", "2026-12": SECRET}
    new = from_tree({"providers": {"doitong": {"secrets": secrets}, "dashscope": {}}, **TOKEN})
    names = changed(old, new)
    assert {
        "providers.dashscope.gateway",
        "providers.doitong.secrets.2026-11",
        "providers.doitong.secrets.2026-12",
        "tokens.reader.sha256",
    } <= set(names)
    assert not any(name.startswith(("listen", "providers.doitong.keys")) for name in names)


def test_a_table_said_anew_takes_the_place_of_all_that_was_in_it(tmp_path: Path) -> None:
    """Whoever says the whole of it has said each of its names, the others are nobody's."""
    file = tmp_path / "a.toml"
    file.write_text('[providers.doitong.secrets]\na = "1"\nb = "2"')
    said = gather(file, environ={"HOLDFAST_PROVIDERS__DOITONG__SECRETS": '{ a = "3" }'})
    place = ("providers", "doitong", "secrets")
    assert said.tree["providers"]["doitong"]["secrets"] == {"a": "3"}
    assert said.source((*place, "a")) == "HOLDFAST_PROVIDERS__DOITONG__SECRETS"
    assert said.source((*place, "b")) == "default"
