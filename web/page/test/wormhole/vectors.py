#!/usr/bin/python3
"""Says what the Python wormhole client makes of given codes and secrets: test/wormhole/vectors.json.

Needs Debian's magic-wormhole, with python3-spake2 and python3-nacl:
    /usr/bin/python3 test/wormhole/vectors.py > test/wormhole/vectors.json
"""

import hashlib
import json
import sys

from nacl.secret import SecretBox
from spake2 import SPAKE2_Symmetric, ed25519_basic
from spake2.parameters.ed25519 import ParamsEd25519
from wormhole._key import derive_key, derive_phase_key
from wormhole._wordlist import PGPWordList, raw_words
from wormhole.util import to_bytes

APP = "lothar.com/wormhole/text-or-file-xfer"


def entropy(seed):
    """What a side draws its secret from."""
    return hashlib.sha512(seed.encode()).digest()


def side(code, app, seed):
    """One side, with its secret and its message."""
    one = SPAKE2_Symmetric(to_bytes(code), idSymmetric=to_bytes(app), entropy_f=lambda count: entropy(seed)[:count])
    message = one.start()
    return one, message, ed25519_basic.scalar_to_bytes(one.xy_scalar).hex()


def exchange(code, app, seed, theirs):
    """What two sides with the same code come to, and what one of them says then."""
    a, message_a, secret_a = side(code, app, seed)
    b, message_b, secret_b = side(code, app, theirs)
    key = a.finish(message_b)
    assert key == b.finish(message_a)
    said = []
    for who, phase, plain in [
        ("0a1b2c3d4e", "version", '{"app_versions": {}}'),
        ("ffffffffff", "0", '{"offer": {"message": "Tea at four? \\u2615"}}'),
        ("side.of~ours_-", "12", ""),
    ]:
        nonce = hashlib.sha256((seed + phase).encode()).digest()[: SecretBox.NONCE_SIZE]
        sealed = SecretBox(derive_phase_key(key, who, phase)).encrypt(plain.encode(), nonce)
        said.append({"side": who, "phase": phase, "plain": plain, "sealed": bytes(sealed).hex()})
    return {
        "code": code,
        "app": app,
        "secrets": [secret_a, secret_b],
        "messages": [message_a.hex(), message_b.hex()],
        "key": key.hex(),
        "verifier": derive_key(key, b"wormhole:verifier").hex(),
        "said": said,
    }


def seed_of(wanted, code="7-crossover-clockwork"):
    """The first seed whose side is as wanted."""
    count = 0
    while True:
        _, message, secret = side(code, APP, str(count))
        if wanted(message[1:], bytes.fromhex(secret)):
            return str(count)
        count += 1


def foreign():
    """Points that no honest side sends: neutral, of low order, with such a part, and none at all."""
    low = [p for p in (bytes.fromhex(e) for e in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ))]
    two = ed25519_basic.bytes_to_unknown_group_element(low[1])
    mixed = ed25519_basic.ElementOfUnknownGroup(ed25519_basic.Base.XYTZ).add(two).to_bytes()
    refused = []
    for element in [*low, mixed, b"\x02" + bytes(31)]:
        one, _, _ = side("7-crossover-clockwork", APP, "foreign")
        try:
            one.finish(b"S" + element)
        except (ValueError, ed25519_basic.NotOnCurve):
            refused.append("53" + element.hex())
        else:
            raise AssertionError("python-spake2 takes " + element.hex())
    return refused


def main():
    words = PGPWordList()
    exchanges = [exchange(code, APP, "ours " + code, "theirs " + code) for code in (
        "7-crossover-clockwork",
        "0-",
        "42-a",
        "9999999999999999999999999999999999999999-guitarist-revenge",
        "3-Gänsefüßchen-夜汽車-🚂",
        "3-a\u0308-is-normalized-\u212b",
        "5-" + "long-" * 60 + "code",
    )]
    exchanges.append(exchange("7-crossover-clockwork", "example.org/tea", "a", "b"))
    exchanges += [exchange("7-crossover-clockwork", APP, seed_of(wanted), "b") for wanted in (
        lambda element, secret: element[0] == 0,
        lambda element, secret: element[31] & 127 == 0,
        lambda element, secret: secret[0] == 0,
        lambda element, secret: secret[31] == 0,
    )]
    prefixes = ["", "c", "cro", "crossover", "crossover-", "crossover-cl", "crossover-clockwork", "crossover-clockwork-", "zzz", "crossover-clockwork-g"]
    json.dump({
        "symmetric": ParamsEd25519.S.to_bytes().hex(),
        "exchanges": exchanges,
        "foreign": foreign(),
        "words": {
            "odd": [raw_words[byte][1].lower() for byte in sorted(raw_words)],
            "even": [raw_words[byte][0].lower() for byte in sorted(raw_words)],
        },
        "completions": {"7-" + prefix: sorted("7-" + one for one in words.get_completions(prefix)) for prefix in prefixes},
    }, sys.stdout, ensure_ascii=True, indent=1)
    print()


main()
