"""Encryption at rest of credentials that belong to others (provider keys).

AES-256-GCM with a random nonce per value; the place a value belongs to is bound
into it, so that a stored value cannot be moved to another row. The master key
comes from configuration or from a file only its owner can read.

Our own tokens and passwords are never encrypted: they are hashed (`identity`).
"""

import base64
import contextlib
import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from interlock.storage.errors import SecretKeyError

__all__ = ["KEY_FILE", "SecretBox"]

KEY_FILE = "secret.key"
_VERSION = "v1"
_NONCE_BYTES = 12
_MINIMUM_LENGTH = 16


class SecretBox:
    """Encrypts and decrypts short texts under one master key."""

    def __init__(self, master: str) -> None:
        """`master` is any text of at least 16 characters; random is better than memorable.

        Raises:
            SecretKeyError: too short.
        """
        if len(master) < _MINIMUM_LENGTH:
            raise SecretKeyError(
                f"the secret key has fewer than {_MINIMUM_LENGTH} characters",
                hint="set INTERLOCK_SECRET_KEY to the output of `openssl rand -base64 32`",
            )
        derived = HKDF(
            algorithm=SHA256(), length=32, salt=b"interlock", info=b"credentials v1"
        ).derive(master.encode())
        self._cipher = AESGCM(derived)
        self._derived = derived
        self.key_id = hashlib.sha256(b"id" + derived).hexdigest()[:8]
        """Tells keys apart without giving anything away."""

    @classmethod
    def load(cls, data_dir: Path, configured: str | None) -> "SecretBox":
        """The box of a server: `configured` wins, else the key file, made when missing.

        Raises:
            SecretKeyError: the file cannot be made or can be read by others, or the key is too
                short.
        """
        if configured is not None:
            return cls(configured)
        path = data_dir / KEY_FILE
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                _create_key(path)
        except OSError as error:
            raise SecretKeyError(
                f"`{path}` cannot be made: {error.strerror}",
                hint="name a directory this user may write to with `--data`",
            ) from error
        return cls(_read_key(path))

    def derive(self, purpose: str) -> bytes:
        """32 bytes that only this installation has, different for each purpose."""
        return HKDF(algorithm=SHA256(), length=32, salt=b"interlock", info=purpose.encode()).derive(
            self._derived
        )

    def seal(self, text: str, *, place: str) -> str:
        """Encrypts `text` for `place`, e.g. `gateway_keys/key_1/openai`."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), place.encode())
        return f"{_VERSION}.{self.key_id}.{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, *, place: str) -> str:
        """Decrypts what `seal` made for the same `place`.

        Raises:
            SecretKeyError: made under another master key, for another place, or damaged.
        """
        version, _, rest = sealed.partition(".")
        key_id, _, body = rest.partition(".")
        if version != _VERSION or key_id != self.key_id:
            raise SecretKeyError(
                "a stored credential was encrypted with another secret key",
                hint="set INTERLOCK_SECRET_KEY (or restore `secret.key`) to the former value",
            )
        try:
            raw = base64.b64decode(body, validate=True)
            clear = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise SecretKeyError(
                "a stored credential is damaged", hint="enter the credential again"
            ) from error
        return clear.decode()


def _create_key(path: Path) -> None:
    """Makes the file appear whole or not at all; of two processes one wins, both read it."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(base64.b64encode(os.urandom(32)).decode())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        scratch.unlink()


def _read_key(path: Path) -> str:
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SecretKeyError(
            f"`{path}` can be read by other users of this machine",
            hint=f"run `chmod 600 {path}`",
        )
    key = path.read_text(encoding="ascii").strip()
    if not key:
        raise SecretKeyError(
            f"`{path}` is empty",
            hint="restore it from a backup; when no credentials were stored, delete it",
        )
    return key
