"""Registries of one scenario: PyPI's index and npm's, with small packages, made on the spot.

Prints its port, then a line for each request. `cowsay` and `mooing` have a word to say;
the file of `tampered` is not what the index says. With a folder as its argument it is an archive
of Debian too, signed with a key of its own: `key.asc` in that folder.
"""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def wheel(name):
    buffer = io.BytesIO()
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{name}.py", "WORD = 'moo'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return buffer.getvalue()


def tarball(name, **more):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in [
            ("package.json", json.dumps({"name": name, "version": "1.0.0", "main": "index.js", **more})),
            ("index.js", "module.exports = 'moo';\n"),
        ]:
            entry = tarfile.TarInfo(f"package/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def packed(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text, mode in files:
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text), mode
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def deb(control):
    """An `ar` of a version, what apt is told, and the files."""
    said = packed([("./control", control, 0o644)])
    held = packed([("./usr/bin/cowsay", "#!/bin/sh\necho moo\n", 0o755)])
    archive = b"!<arch>\n"
    for name, data in [("debian-binary", b"2.0\n"), ("control.tar.gz", said), ("data.tar.gz", held)]:
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        archive += data + b"\n" * (len(data) % 2)
    return archive


def signed(folder, text):
    home = os.path.join(folder, "gnupg")
    os.mkdir(home, 0o700)

    def gpg(*arguments, told=""):
        command = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", "", *arguments]
        return subprocess.run(command, input=told.encode(), stdout=subprocess.PIPE, check=True).stdout

    gpg("--quick-gen-key", "archive", "ed25519", "sign", "never")
    with open(os.path.join(folder, "key.asc"), "wb") as key:
        key.write(gpg("--armor", "--export"))
    document = gpg("--clearsign", told=text)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)
    return document


def archive_of_debian(folder):
    control = (
        "Package: cowsay\nVersion: 1.0\nArchitecture: all\n"
        "Maintainer: nobody <nobody@example.com>\nDescription: says a word\n"
    )
    package, pool = deb(control), "pool/main/c/cowsay/cowsay_1.0_all.deb"
    digest = hashlib.sha256(package).hexdigest()
    index = f"{control}Filename: {pool}\nSize: {len(package)}\nSHA256: {digest}\n".encode()
    digest = hashlib.sha256(index).hexdigest()
    release = (
        "Origin: Debian\nSuite: stable\nCodename: bookworm\nDate: Sat, 01 Jan 2022 00:00:00 UTC\n"
        "Architectures: all amd64 arm64\nComponents: main\nAcquire-By-Hash: yes\nSHA256:\n"
    )
    files = {pool: package}
    for architecture in ("amd64", "arm64"):
        release += f" {digest} {len(index)} main/binary-{architecture}/Packages\n"
        files[f"dists/bookworm/main/binary-{architecture}/by-hash/SHA256/{digest}"] = index
    files["dists/bookworm/InRelease"] = signed(folder, release)
    return files


WHEELS = {name: wheel(name) for name in ("cowsay", "mooing", "tampered")}
# One says another word once its script has run.
GROWLS = {"scripts": {"postinstall": "echo \"module.exports = 'grr';\" > index.js"}}
TARBALLS = {"cowsay": tarball("cowsay"), "growling": tarball("growling", **GROWLS)}
DEBIAN = archive_of_debian(sys.argv[1]) if len(sys.argv) > 1 else {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def give(self, kind, body, status=200, etag=None):
        if etag and self.headers.get("if-none-match") == etag:
            status, body = 304, b""
        self.send_response(status)
        self.send_header("content-type", kind)
        # Each page must be asked for again: what is then given is what the node was told.
        self.send_header("cache-control", "max-age=0")
        if etag:
            self.send_header("etag", etag)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        print(self.command, self.path, flush=True)
        parts = self.path.strip("/").split("/")
        name = parts[-1]
        if parts[0] == "simple" and name in WHEELS:
            digest = hashlib.sha256(WHEELS[name]).hexdigest()
            link = f"../../files/{name}-1.0-py3-none-any.whl#sha256={digest}"
            page = f'<html><a href="{link}" data-requires-python="&gt;=3">{name}</a></html>'
            self.give("text/html", page.encode(), etag='"1"')
        elif parts[0] == "files" and name.split("-")[0] in WHEELS:
            project = name.split("-")[0]
            body = WHEELS[project] + (b"!" if project == "tampered" else b"")
            self.give("application/octet-stream", body)
        elif parts[0] == "npm" and len(parts) == 2 and name in TARBALLS:
            host, digest = self.headers["host"], hashlib.sha512(TARBALLS[name]).digest()
            integrity = "sha512-" + base64.b64encode(digest).decode()
            dist = {"tarball": f"http://{host}/npm/{name}/-/{name}-1.0.0.tgz", "integrity": integrity}
            version = {"name": name, "version": "1.0.0", "dist": dist}
            if name == "growling":
                version.update(GROWLS, hasInstallScript=True)
            page = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
            self.give("application/json", json.dumps(page).encode(), etag='"1"')
        elif parts[0] == "npm" and parts[1] in TARBALLS and name.endswith("-1.0.0.tgz"):
            self.give("application/octet-stream", TARBALLS[parts[1]])
        elif parts[0] == "debian" and "/".join(parts[1:]) in DEBIAN:
            self.give("application/octet-stream", DEBIAN["/".join(parts[1:])], etag='"1"')
        else:
            self.give("text/plain", b"not found", 404)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
sys.stdin.close()
server.serve_forever()
