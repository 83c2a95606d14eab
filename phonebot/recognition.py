"""
How a service is recognised from outside: it proves that it has the deployment's secret key.

    challenge = new_challenge()
    GET /healthz?challenge=CHALLENGE        ->      Phonebot-Proof: PROOF
    is_ours = PROOF == proof(secret_key, challenge)

Whoever asks may choose the challenge, so the key that proves is one of its own, made of the secret key for nothing
else: what is proved here opens nothing.
"""

import hashlib
import hmac
import re
import secrets

HEADER = "Phonebot-Proof"
PARAMETER = "challenge"

_CHALLENGE = re.compile(r"[0-9a-f]{32}")


def new_challenge() -> str:
    return secrets.token_hex(16)


def is_challenge(text: str) -> bool:
    """Whether it is one that `new_challenge` may have made: nothing else is answered."""
    return _CHALLENGE.fullmatch(text) is not None


def proof(secret_key: str, challenge: str) -> str:
    """What only those can say who have the key: 64 hexadecimal digits."""
    own = hmac.digest(secret_key.encode(), b"phonebot: the key of proofs", hashlib.sha256)
    return hmac.new(own, challenge.encode(), hashlib.sha256).hexdigest()


def is_proved(secret_key: str, challenge: str, answer: str) -> bool:
    return hmac.compare_digest(proof(secret_key, challenge).encode(), answer.encode())
