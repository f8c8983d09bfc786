"""Files spoiled as accidents and attackers spoil them: bytes in, bytes out, the same for the same generator.

Most changes know nothing of formats. Others keep lengths and checksums right: readers get to what lies behind them.
"""

import ast
import bz2
import gzip
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

NUMBERS = [
    sign * (2**bits + more)
    for bits in (0, 7, 8, 15, 16, 24, 31, 32, 53, 63, 64)
    for more in (-1, 0)
    for sign in (1, -1)
]
VALUES = [
    *(None, True, "", "x", "a" * 5000, "\x1b[2J", "../x", "\ud800", "\u202e", "[", [], {}, [[]], {"": None}),
    *(0.5, -1e308, float("nan"), float("inf"), 10**400, *NUMBERS),
]
SNIPPETS = [
    *(b"\0", b'"', b"'", b"\n", b"\r", b",", b":", b"{", b"[", b"\x1b[2J", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800"),
    *(b"NaN", b"1e999", b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"../../x", b"$$", "\u202e\u0301".encode()),
    *(
        b"&a [*a, *a]",
        b"*a",
        b"!!python/object/apply:os.getcwd []",
        b"!!bool 3",
        b"2001-02-31",
        b"? ",
        b"<<: ",
        b"- " * 999,
    ),
]
ROUNDS = (1, 1, 1, 2, 3, 6)
MOST = 1 << 22  # bytes that a file grows to: it is small ones that must not cost much
BLOCK = 512  # bytes, of a tar


def spoiled(name: str, content: bytes, rng: Random) -> bytes:
    """A file's content with some of it changed; its name tells the format."""
    ending = next((one for one in (*STRUCTURED, *MENDED) if name.endswith(one)), "")
    if ending in STRUCTURED and rng.random() < 0.5:
        return STRUCTURED[ending](content, rng)
    content = scrambled(content, rng)
    return MENDED[ending](content) if ending in MENDED and rng.random() < 0.7 else content


def scrambled(content: bytes, rng: Random) -> bytes:
    """Content changed without regard to its format."""
    for _ in range(rng.choice(ROUNDS)):
        content = rng.choice(CHANGES)(content, rng)[:MOST]
    return content


# --- changes of any bytes


def _place(content: bytes, rng: Random) -> int:
    """Anywhere, but as often near the start, where headers are."""
    return int((len(content) + 1) * rng.random() ** rng.choice((1, 1, 4, 8)))


def _span(content: bytes, rng: Random) -> slice:
    start = _place(content, rng)
    return slice(start, start + int(2 ** rng.uniform(0, 12)))


def _with_flipped_bits(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 8)) if content else 0):
        changed[min(_place(content, rng), len(content) - 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _with_number(content: bytes, rng: Random) -> bytes:
    width, place = rng.choice((1, 2, 3, 4, 8)), _place(content, rng)
    number = (rng.choice(NUMBERS) % 256**width).to_bytes(width, rng.choice(("big", "little")))
    return content[:place] + number + content[place + width :]


def _with_digits(content: bytes, rng: Random) -> bytes:
    found = [match.span() for match in re.finditer(rb"-?\d+", content[:100_000])]
    if not found:
        return content
    start, end = rng.choice(found)
    return content[:start] + str(rng.choice(NUMBERS)).encode() + content[end:]


def _with_snippet(content: bytes, rng: Random) -> bytes:
    place = _place(content, rng)
    return content[:place] + rng.choice(SNIPPETS) + content[place + rng.choice((0, 1)) :]


def _with_noise(content: bytes, rng: Random) -> bytes:
    span = _span(content, rng)
    return content[: span.start] + rng.randbytes(len(content[span])) + content[span.stop :]


def _with_one_byte(content: bytes, rng: Random) -> bytes:
    span = _span(content, rng)
    return content[: span.start] + bytes([rng.choice((0, 255, 32))]) * len(content[span]) + content[span.stop :]


def _cut_off(content: bytes, rng: Random) -> bytes:
    return content[: _place(content, rng)]


def _without_span(content: bytes, rng: Random) -> bytes:
    span = _span(content, rng)
    return content[: span.start] + content[span.stop :]


def _with_span_again(content: bytes, rng: Random) -> bytes:
    """A span repeated, at once or elsewhere."""
    span, times = _span(content, rng), rng.choice((1, 1, 2, 50))
    place = rng.choice((span.stop, _place(content, rng)))
    return content[:place] + content[span] * times + content[place:]


def _with_spans_swapped(content: bytes, rng: Random) -> bytes:
    a, b, c = sorted(_place(content, rng) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


CHANGES: list[Callable[[bytes, Random], bytes]] = [
    *(_with_flipped_bits, _with_number, _with_digits, _with_snippet, _with_noise, _with_one_byte),
    *(_cut_off, _without_span, _with_span_again, _with_spans_swapped),
]


# --- changes of what a format holds


def changed_json(content: bytes, rng: Random) -> bytes:
    """A JSON with values changed, removed, doubled and renamed."""
    tree = json.loads(content)
    for _ in range(rng.choice(ROUNDS)):
        tree = _changed_tree(tree, rng)
    return json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _changed_tree(tree: Any, rng: Random) -> Any:
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.1:
        return rng.choice(VALUES) if rng.random() < 0.9 else [tree]
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key, kind = rng.choice(keys), rng.random()
    copy = tree.copy()
    if kind < 0.8:
        copy[key] = _changed_tree(tree[key], rng)
    elif kind < 0.87:
        del copy[key]
    elif kind < 0.94:
        copy[key] = tree[rng.choice(keys)]
    elif isinstance(copy, dict):
        copy[rng.choice(["", "x", "\x1b[2J", f"{key} "])] = copy.pop(key)
    else:
        copy = copy * rng.choice((2, 100))
    return copy


def changed_lines(content: bytes, rng: Random) -> bytes:
    """JSON lines, one of them changed."""
    lines = content.splitlines()
    number = rng.choice([number for number, line in enumerate(lines) if line])
    lines[number] = changed_json(lines[number], rng)
    return b"\n".join(lines) + b"\n"


def changed_safetensors(content: bytes, rng: Random) -> bytes:
    """A safetensors file whose table of tensors, or facts, say something else; the header's length is right."""
    end = 8 + int.from_bytes(content[:8], "little")
    header, weights = json.loads(content[8:end]), content[end:]
    if rng.random() < 0.6:
        facts = header["__metadata__"]
        facts["facts"] = changed_json(facts["facts"].encode(), rng).decode("utf-8", "replace")
    else:
        name = rng.choice([name for name in header if name != "__metadata__"])
        header[name] = _changed_tree(header[name], rng)
    if rng.random() < 0.2:
        weights = scrambled(weights, rng)
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + weights


def changed_npy(content: bytes, rng: Random) -> bytes:
    """A .npy file whose header says something else; the header's length is right."""
    end = 10 + int.from_bytes(content[8:10], "little")
    header = ast.literal_eval(content[10:end].decode("latin-1"))
    shape = list(header["shape"])
    shape[rng.randrange(len(shape))] = rng.choice(NUMBERS)
    key = rng.choice(list(header))
    header[key] = rng.choice(
        [tuple(shape), tuple(shape), "|O", "<u2", ">u2", "<f2", "<U999999999", "V2", True, *VALUES]
    )
    written = repr(header).encode("latin-1", "replace").ljust(end - 11) + b"\n"
    return (
        content[:8] + len(written).to_bytes(2, "little") + written + content[end:] if len(written) < 65536 else content
    )


def changed_tar(content: bytes, rng: Random) -> bytes:
    """A tar with a field of a header changed; its checksums are right."""
    headers = list(_tar_headers(content))
    for _ in range(rng.choice(ROUNDS)):
        place = rng.choice(headers)
        block = bytearray(content[place : place + BLOCK])
        start, width = rng.choice(((0, 100), (124, 12), (124, 12), (124, 12), (156, 1), (257, 8), (345, 155), (482, 1)))
        number = rng.choice(NUMBERS)
        values = [b"%o" % abs(number), b"%d" % number, (number % 256**width).to_bytes(width), rng.randbytes(width)]
        if width == 1:
            values = [bytes([rng.choice(b"01234567LKSxgXVDMA\0")])]
        block[start : start + width] = rng.choice(values)[-width:].ljust(width, b"\0")
        if start == 124 and rng.random() < 0.4:
            block[124] |= rng.choice((0x80, 0xFF))
        content = content[:place] + bytes(block) + content[place + BLOCK :]
    return mended_tar(content)


def changed_packed(module: Any, content: bytes, rng: Random) -> bytes:
    """A compressed tar with a changed content, or the same one many times, packed anew by gzip, bz2 or lzma."""
    tar = module.decompress(content)
    changed = changed_tar(tar, rng) if rng.random() < 0.7 else mended_tar(scrambled(tar, rng))
    return packed(module, changed) * rng.choice((1, 1, 2))


def packed(module: Any, content: bytes) -> bytes:
    """What gzip, bz2 or lzma makes of a content, the same each time."""
    return bytes(module.compress(content, **{"gzip": {"mtime": 0}}.get(module.__name__, {})))


STRUCTURED: dict[str, Callable[[bytes, Random], bytes]] = {
    ".jsonl": changed_lines,
    ".json": changed_json,
    ".safetensors": changed_safetensors,
    ".npy": changed_npy,
    ".tar.gz": partial(changed_packed, gzip),
    ".tar.bz2": partial(changed_packed, bz2),
    ".tar.xz": partial(changed_packed, lzma),
    ".tar": changed_tar,
}


# --- checksums put right


def mended_tar(content: bytes) -> bytes:
    """A tar whose headers have their right checksums."""
    mended = bytearray(content)
    for place in _tar_headers(content):
        mended[place + 148 : place + 156] = b" " * 8
        mended[place + 148 : place + 156] = b"%06o\0 " % sum(mended[place : place + BLOCK])
    return bytes(mended)


def _tar_headers(content: bytes) -> Iterator[int]:
    """Where the headers of a tar are: by their magic, whatever they say."""
    return (place for place in range(0, len(content), BLOCK) if content[place + 257 : place + 262] == b"ustar")


def mended_png(content: bytes) -> bytes:
    """A PNG whose chunks, as far as they can be told, have their right checksums."""
    parts, place = [content[:8]], 8
    while place < len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4])
        kind_and_data = content[place + 4 : end]
        parts += [content[place : place + 4], kind_and_data, zlib.crc32(kind_and_data).to_bytes(4)]
        place = end + 4
    return b"".join(parts)


def mended_ogg(content: bytes) -> bytes:
    """An Ogg file whose pages have their right checksums."""
    mended = bytearray(content)
    places = [match.start() for match in re.finditer(b"OggS", content)]
    for start, end in pairwise([*places, len(content)]):
        if end - start < 27:
            continue
        mended[start + 22 : start + 26] = bytes(4)
        mended[start + 22 : start + 26] = _ogg_sum(mended[start:end]).to_bytes(4, "little")
    return bytes(mended)


def _ogg_sum(page: bytes) -> int:
    total = 0
    for byte in page:
        total = (total << 8 & 0xFFFFFFFF) ^ OGG_TABLE[total >> 24 ^ byte]
    return total


def _ogg_entry(number: int) -> int:
    entry = number << 24
    for _ in range(8):
        entry = entry << 1 ^ (0x104C11DB7 if entry >> 31 else 0)
    return entry


OGG_TABLE = [_ogg_entry(number) for number in range(256)]
MENDED: dict[str, Callable[[bytes], bytes]] = {
    ".tar": mended_tar,
    ".png": mended_png,
    ".ogg": mended_ogg,
    ".opus": mended_ogg,
}
