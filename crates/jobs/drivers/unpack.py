"""Unpacks wheels beneath a folder: `unpack folder path…`. The gate has checked what they are.

The library's modules for HTTP and zip take longer to import than all of this takes to run. What is
beyond it ends it, and then pip does it.
"""

import os
import sys
import zlib
from _socket import AF_INET, SOCK_STREAM, socket

PIECE = 1 << 20


def fetched(path):
    """The body of an answer, which says its length."""
    gate = socket(AF_INET, SOCK_STREAM)
    gate.settimeout(60)
    gate.connect(("127.0.0.1", 11434))
    gate.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:11434\r\nconnection: close\r\n\r\n".encode())
    answer = bytearray()
    while True:
        piece = gate.recv(PIECE)
        if not piece:
            break
        answer += piece
    gate.close()
    end = answer.find(b"\r\n\r\n")
    head = bytes(answer[:end]).decode("latin-1").lower().split("\r\n")
    if head[0].split(" ")[1:2] != ["200"]:
        sys.exit(f"{path}: {head[0]}")
    body = memoryview(answer)[end + 4 :]
    if f"content-length: {len(body)}" not in head:
        sys.exit(f"{path}: it broke off")
    return body


def members(wheel):
    """Name, packing, sum and packed bytes of each member."""

    def number(at, size):
        return int.from_bytes(wheel[at : at + size], "little")

    tail = bytes(wheel[-65557:])
    end = len(wheel) - len(tail) + tail.rfind(b"PK\5\6")
    count, at = number(end + 10, 2), number(end + 16, 4)
    if at == 0xFFFFFFFF or count == 0xFFFF:
        sys.exit("a wheel is too large for this")
    for _ in range(count):
        if wheel[at : at + 4] != b"PK\1\2":
            sys.exit("a wheel is no zip archive")
        sizes = [number(at + place, 2) for place in (28, 30, 32)]
        name = bytes(wheel[at + 46 : at + 46 + sizes[0]]).decode()
        start = number(at + 42, 4)
        start += 30 + number(start + 26, 2) + number(start + 28, 2)
        packed = wheel[start : start + number(at + 20, 4)]
        yield name, number(at + 10, 2), number(at + 16, 4), packed
        at += 46 + sum(sizes)


def pieces(packing, packed):
    if packing == 0:
        yield packed
        return
    if packing != 8:
        sys.exit("a wheel is packed in another way")
    unpacking = zlib.decompressobj(-15)
    for at in range(0, len(packed), PIECE):
        yield unpacking.decompress(packed[at : at + PIECE])
    yield unpacking.flush()


folder, *paths = sys.argv[1:]
made = set()
for path in paths:
    for name, packing, expected, packed in members(fetched(path)):
        parts = name.split("/")
        if parts[0].endswith(".data"):
            # What is no module has no place beneath a folder of modules.
            if parts[1] not in ("purelib", "platlib"):
                continue
            parts = parts[2:]
        if parts[-1] == "":
            continue
        if any(part in ("", ".", "..") for part in parts):
            sys.exit("a wheel has a file beyond its folder")
        beneath = os.path.join(folder, *parts[:-1])
        if beneath not in made:
            os.makedirs(beneath, exist_ok=True)
            made.add(beneath)
        found = 0
        with open(os.path.join(beneath, parts[-1]), "wb") as file:
            for piece in pieces(packing, packed):
                found = zlib.crc32(piece, found)
                file.write(piece)
        if found != expected:
            sys.exit("a wheel is damaged")
