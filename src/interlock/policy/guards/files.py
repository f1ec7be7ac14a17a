r"""File paths and `file:` URIs in text.

POSIX paths (absolute, `~`, `./`, `../`, `$HOME/`), Windows paths (drive, UNC, device,
`%APPDATA%\`), relative paths that end in a file name, and well-known secret files by name
(`.env`, `id_rsa`). A bare file name (`report.pdf`) is not a path, and what is
inside a web address belongs to the URL guard.
"""

from collections.abc import Iterator

import re2

from interlock.policy.guards import urls
from interlock.policy.guards.spans import Span, View

__all__ = ["GUARD", "find"]

GUARD = "file_blocker"

_NAME = r"[^\s\"'`<>|*?\\/;,(){}\[\]]"
_URI = re2.compile(r"(?i)\bfile:(?:[\\/~.]|[a-z]:[\\/]|[^\s\"'`<>|]*[\\/])[^\s\"'`<>|{}]*")
_POSIX = re2.compile(rf"(?:^|[\s\"'`(=:,;<>{{\[|@&!])(/+(?:{_NAME}+/+)*{_NAME}*)")
_HOME = re2.compile(
    rf"(?:^|[\s\"'`(=:,;<>{{\[|@&!])((?:~[A-Za-z0-9_.-]{{0,32}}|\.{{1,2}}|"
    rf"\$\{{?[A-Z_][A-Z0-9_]*\}}?"
    rf"|%[A-Za-z_()0-9]{{2,40}}%)[\\/]+(?:{_NAME}+[\\/]+)*{_NAME}*)"
)
_CLIMB = re2.compile(rf"(?:{_NAME}+[\\/]+)*\.\.[\\/]+(?:{_NAME}+[\\/]+)*{_NAME}*")
_WINDOWS_PART = r"[^\s\"'`<>|*?\\/:;,(){}\[\]]+(?: [^\s\"'`<>|*?\\/:;,{}\[\]]+){0,2}"
_DRIVE = re2.compile(
    rf"(?:^|[^A-Za-z0-9])([A-Za-z]:(?:\\+(?:{_WINDOWS_PART}\\+)*[^\s\"'`<>|*?\\/:;,{{}}\[\]]*"
    rf"|/+{_NAME}+(?:/+{_NAME}+)*/?|\\+))"
)
_UNC = re2.compile(
    rf"(?:^|[\s\"'`(=:,;<>{{\[|])(\\\\+(?:\?\\+|\.\\+)?{_NAME}+\\+(?:{_WINDOWS_PART}\\+)*{_NAME}*)"
)
_RELATIVE = re2.compile(
    rf"({_NAME}+(?:[\\/]+{_NAME}+)*[\\/]+{_NAME}*?)(\.[A-Za-z0-9]{{1,8}})(?:$|[^A-Za-z0-9_])"
)
_SECRET_FILES = re2.compile(
    r"(?i)(?:^|[\s\"'`=:/\\(])(\.env(?:\.[a-z]{2,12})?|\.ssh|\.aws|\.netrc|\.pgpass|"
    r"\.npmrc|\.pypirc|"
    r"\.git-credentials|\.bash_history|\.zsh_history|\.htpasswd|\.kube|\.gnupg|\.docker|"
    r"id_rsa|id_ed25519|id_ecdsa|id_dsa|authorized_keys|known_hosts)(?:$|[\s\"'`,;:)/\\])"
)

_ROOTS_TEXT = (
    "etc home root usr var tmp opt proc sys dev mnt media srv bin sbin lib lib64 boot run "
    "users private library applications volumes system data app workspace workspaces repo "
    "src snap windows secrets config nfs export backup backups storage"
)
_ROOTS = frozenset(_ROOTS_TEXT.split())
_ENDINGS_TEXT = (
    "txt md rst log csv tsv json jsonl yaml yml toml ini cfg conf xml html htm pdf doc "
    "docx xls xlsx ppt pptx odt ods rtf zip tar gz tgz bz2 xz 7z rar png jpg jpeg gif svg "
    "webp bmp tiff ico mp3 mp4 wav avi mov mkv py pyc ipynb js mjs cjs ts tsx jsx java c h "
    "cc cpp hpp cs go rs rb php sh bash zsh ps1 bat cmd exe dll so dylib bin dat db sqlite "
    "sqlite3 sql pem key crt cer p12 pfx env lock bak old swp tmp parquet avro pkl npy "
    "onnx safetensors css scss vue swift kt scala pl lua r jar war eml msg ics vcf kdbx "
    "gpg asc pub iso img vmdk wasm proto tf tfvars gradle properties"
)
_ENDINGS = frozenset(_ENDINGS_TEXT.split())


def find(view: View) -> Iterator[Span]:
    """The file paths of a view."""
    text = view.text
    if "/" not in text and "\\" not in text and ":" not in text:
        yield from _secret_files(text)
        return
    addresses = _addresses(text)
    for match in _URI.finditer(text):
        yield _span(text, *match.span())
    candidates = [
        *((*match.span(1), True) for match in _DRIVE.finditer(text)),
        *((*match.span(1), True) for match in _UNC.finditer(text)),
        *((*match.span(1), True) for match in _HOME.finditer(text)),
        *((*match.span(), True) for match in _CLIMB.finditer(text)),
        *((*match.span(1), False) for match in _POSIX.finditer(text)),
    ]
    index = 0
    for start, end, sure in sorted(candidates):
        while index < len(addresses) and addresses[index][1] <= start:
            index += 1
        if index < len(addresses) and addresses[index][0] <= start:
            continue
        if sure or _absolute(text, start, end, view.whole):
            yield _span(text, start, end)
    yield from _relative(text, addresses)
    yield from _secret_files(text)


def _addresses(text: str) -> list[tuple[int, int]]:
    """Web addresses up to their query, where a path is the URL's own, sorted."""
    found = []
    for span in urls.find(View(text)):
        address = text[span.start : span.end]
        if address[:5].lower() == "file:" or address[:2] in {"\\\\"}:
            continue
        query = len(address.partition("?")[0])
        found.append((span.start, span.start + query))
    return sorted(found)


def _absolute(text: str, start: int, end: int, whole: bool) -> bool:
    """Whether something that begins with a slash is a path, not an aside, tag or fraction."""
    path = text[start:end]
    if path.startswith("//") and path.strip("/").partition("/")[0].lower() not in _ROOTS:
        return False
    parts = [part for part in path.split("/") if part]
    if not parts:
        return False
    first = parts[0].lower()
    if text[start - 1 : start] == "<":
        # A closing tag, unless it is a redirection from a known place.
        return len(parts) > 1 and first in _ROOTS
    if _has_ending(parts[-1]) or len(parts) > 2:
        return True
    if len(parts) == 2:
        return first in _ROOTS or not (parts[0].isdigit() or parts[1].isdigit())
    if first in _ROOTS and (whole or path.endswith("/")):
        return True
    return whole and not text[:start].strip() and not text[end:].strip()


def _has_ending(name: str) -> bool:
    stem, dot, ending = name.rpartition(".")
    return bool(dot) and bool(stem) and ending.lower().rstrip(".") in _ENDINGS


def _relative(text: str, addresses: list[tuple[int, int]]) -> Iterator[Span]:
    index = 0
    for match in _RELATIVE.finditer(text):
        start, end = match.span(1)[0], match.span(2)[1]
        while index < len(addresses) and addresses[index][1] <= start:
            index += 1
        inside = index < len(addresses) and addresses[index][0] < end
        if inside or match.group(2)[1:].lower() not in _ENDINGS or "://" in match.group(1):
            continue
        if any(char.isalpha() for char in match.group(1)):
            yield _span(text, start, end)


def _secret_files(text: str) -> Iterator[Span]:
    for match in _SECRET_FILES.finditer(text):
        yield _span(text, *match.span(1))


def _span(text: str, start: int, end: int) -> Span:
    """The span without the punctuation of the sentence around it."""
    while end > start + 1 and text[end - 1] in ".,;:!?":
        end -= 1
    return Span(start, end, "FILE", 1.0, GUARD)
