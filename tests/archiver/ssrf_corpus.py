"""Links that lead inside, in every way known: each is nobody's picture, whatever it looks like.

All are for an island (`tests.archiver.island`), on which 127.0.0.1 and a cloud's metadata address
have a listener like everybody else. The street's public places redirect to what their path says.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from random import Random
from urllib.parse import quote

from tests.archiver.island import DOMAIN
from tests.archiver.name_server import ZONE

# Where somebody listens, beside 80 and 443.
PORTS = (22, 2375, 6379, 8080)

_ADDRESSES = """
    127.0.0.1 127.1.2.3 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.254 172.16.0.1 172.31.255.1 192.168.1.1
    169.254.169.254 169.254.170.2 168.63.129.16 100.64.0.1 100.100.100.200 100.127.255.1
    192.0.0.8 192.0.0.192 192.0.2.7 192.31.196.1 192.52.193.1 192.88.99.1 192.175.48.1 198.18.0.1
    198.19.255.1 198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
    [::1] [::] [0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0001] [::127.0.0.1]
    [::7f00:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:169.254.169.254] [::ffff:0:127.0.0.1]
    [0:0:0:0:0:ffff:a00:1] [64:ff9b::127.0.0.1] [64:ff9b::169.254.169.254] [64:ff9b::a9fe:a9fe]
    [64:ff9b:1::a9fe:a9fe] [2002:7f00:1::] [2002:7f00:1::1] [2002:a9fe:a9fe::1] [2002:a00:1::1]
    [2001:0:7f00:1::1] [2001:0:4136:e378:8000:63bf:80ff:fffe] [2001:10::1] [2001:20::1]
    [2001:db8::7] [3fff::1] [5f00::1] [100::1] [fc00::1] [fd00:ec2::254] [fd00:42::1]
    [fe80::1] [fe80::5efe:127.0.0.1] [fe80::1%25lo] [fe80::1%lo] [::1%25lo] [::1%lo] [::1%251]
    [fec0::1] [ff02::1] [ff0e::1] [2620:4f:8000::1] [v1.fe80::1] [::1]. [127.0.0.1]
"""

# All of these are 127.0.0.1 or 169.254.169.254 to somebody.
_SPELLINGS = """
    127.0.0.1. 127.1 127.0.1 127.000.000.001 0127.0.0.1 0177.0.0.1 0177.0.0.01 00000177.1
    017700000001 2130706433 02130706433
    0x7f000001 0X7F000001 0x7f.0.0.1 0x7f.0x0.0x0.0x1 0x7f.1 0x7F.0.1
    0x000000007f000001 4294967297 6425673729 0 00 0x0 0. 0.0 0.0.0 127.0.0.1.. .127.0.0.1 127..0.0.1
    2852039166 0xa9fea9fe 0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.254.43518 169.16689662
    [::2130706433] [::ffff:2130706433] [::ffff:0x7f000001] 127.0.0.1%00 127.0.0.1%09 127.0.0.1%20
    127.0.0.1%2e 127%2e0%2e0%2e1 %31%32%37.0.0.1 %6c%6f%63%61lhost 127.0.0.1%23.public.test
    １２７.0.0.1 １２７．０．０．１ 127。0。0。1 127｡0｡0｡1 127.0.0.１ ①②⑦.⓪.⓪.① ⑯⑨。②⑤④。⑯⑨｡②⑤④
    １６９.２５４.１６９.２５４ 127.0.0.1\u00ad 127\u200b.0.0.1 [：：1] ［::1］
    localhost LOCALHOST LocalHost. localhost. localhost.. a.localhost a.b.localhost. ip6-localhost
    localhost.localdomain localhost%00 localhost%2e ｌocalhost ⓛⓞⓒⓐⓛⓗⓞⓢⓣ loc\u00adalhost ℓocalhost
    xn--localhost-.test xn-- xn--a 𝟏𝟐𝟕.𝟎.𝟎.𝟏 metadata metadata.google.internal
"""

# `OUT` is a public name and `IN` an inside address.
# Between blanks alone, for there are tabs and ends of lines within.
_WHOLE = """
    https://OUT@IN/ https://OUT:443@IN/ https://OUT%00@IN/ https://user:OUT@IN/ https://@IN/
    https://:@IN/ https://OUT\\@IN/ https://IN\\@OUT/ https://OUT#@IN/ https://OUT/@IN/
    https://OUT?@IN/ https://IN#@OUT/ https://OUT;@IN/ https://OUT%40IN/ https://OUT%2f@IN/
    https://a@OUT@IN/ https://a:b@IN:443@OUT/ https://IN:443:80/ https://IN:/ https://IN:00443/
    https://IN:０４４３/ https://IN:+443/ https://IN:443%00/ https:IN https:/IN/ https:///IN/
    https:////IN/ https:\\\\IN\\ https:\\/IN/ //IN/ ///IN/ \\\\IN\\share https://IN\t/ https://\tIN/
    https://OUT\t@IN/ https://IN\\.OUT/ https://OUT\\.IN/ HTTPS://IN/ hTtPs://IN/ https://[IN]/
    https://IN%23.OUT/ https://IN,OUT/ https://OUT,IN/ https://IN|OUT/ https://IN&@OUT/ https://
    https: https://./ https://../ https://?/ https://#/ https://%/ https://*/ https://IN./ https://./@IN/
    ftp://IN/ file:///etc/passwd file://IN/etc/passwd gopher://IN:6379/_FLUSHALL dict://IN:6379/i
    ldap://IN/ tftp://IN/ jar:https://IN!/ view-source:https://IN/ javascript:alert(1) about:blank
    http+unix://%2fvar%2frun%2fdocker.sock/info unix:///var/run/docker.sock ws://IN/ wss://IN/
    netdoc:///etc/passwd php://filter/resource=https://IN/ blob:https://IN/ data:,https://IN/
    https://IN/\r\nHost:OUT/ https://OUT/\r\n\r\nGET\x20/ https://IN\r\n.OUT/ https://OUT:443\r\n@IN/
"""

STATUSES = (301, 302, 303, 307, 308)
_INSIDES = ("127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:169.254.169.254]", "10.0.0.1")


def corpus(chance: Random, *, made_up: int = 0) -> list[str]:
    """Every link once, and so many more of addresses and spellings drawn by chance."""
    hosts = [*_ADDRESSES.split(), *_SPELLINGS.split()]
    hosts += [spelt(chance) for _ in range(made_up)]
    names = (f"{label}-{number}.{DOMAIN}" for label in ZONE for number in range(3))
    straight = [link for host in (*hosts, *names) for link in _by_port(host, chance)]
    whole = [found for it in _WHOLE.split(" ") if (found := it.strip("\n "))]
    odd = [
        it.replace("OUT", f"cdn.{DOMAIN}").replace("IN", inside)
        for it in whole
        for inside in _INSIDES[:3]
    ]
    return [*straight, *odd, *_redirects(hosts, chance)]


def spelt(chance: Random) -> str:
    """An inside address in a notation that some reader understands."""
    number = int(IPv4Address(chance.choice(["127.0.0.1", "169.254.169.254", "10.1.2.3"])))
    parts = number.to_bytes(4, "big")
    last = chance.randrange(4)
    tail = int.from_bytes(parts[last:], "big")
    notations = [str, hex, lambda it: f"0{it:o}", lambda it: f"{it:03}", lambda it: f"0x{it:08X}"]
    old = ".".join(chance.choice(notations)(it) for it in (*parts[:last], tail))
    wide = old.translate({ord("0") + it: chance.choice("0０") for it in (0,)})
    prefix = chance.choice([0xFFFF << 32, 0, 0xFFFF << 48, 0x64FF9B << 96, 0x2002 << 112])
    shift = 80 if prefix == 0x2002 << 112 else 0
    six = IPv6Address(prefix | number << shift)
    return chance.choice([old, wide, f"{old}.", f"[{six}]", f"[{six.exploded}]"])


def _by_port(host: str, chance: Random) -> Iterator[str]:
    yield f"https://{host}/x"
    yield f"http://{host}/x"
    yield f"{chance.choice(['http', 'https'])}://{host}:{chance.choice(PORTS)}/x"


def _redirects(hosts: list[str], chance: Random) -> Iterator[str]:
    """From a public place inwards: at once, by way of others, and where links cannot lead."""
    there = f"https://cdn.{DOMAIN}/to"
    to_names = [f"https://{label}-9{number}.{DOMAIN}/" for label in ZONE for number in (1, 2)]
    targets = [
        *(f"{scheme}://{host}/x" for host in _INSIDES for scheme in ("https", "http")),
        *(f"https://{chance.choice(hosts)}/x" for _ in range(40)),
        *to_names,
        "//127.0.0.1/x", "/\\127.0.0.1/x", "\\\\127.0.0.1\\x", "https:127.0.0.1", "///127.0.0.1",
        f"https://cdn.{DOMAIN}@127.0.0.1/", "https://127.0.0.1:6379/", "http://127.0.0.1:22/",
        "file:///etc/passwd", "gopher://127.0.0.1:6379/_", "ftp://127.0.0.1/", "data:,x",
    ]  # fmt: skip
    for target in targets:
        yield f"{there}/{chance.choice(STATUSES)}?to={quote(target, safe='')}"
    for status in STATUSES:
        for inside in _INSIDES:
            once = f"{there}/{status}?to={quote(f'https://{inside}/x', safe='')}"
            yield once
            twice = f"https://other.{DOMAIN}/to/{chance.choice(STATUSES)}?to={quote(once, safe='')}"
            yield twice
            yield f"http://{DOMAIN}/to/{status}?to={quote(twice, safe='')}"
