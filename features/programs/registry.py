"""Registries of one scenario: PyPI's index and npm's, with small packages, made on the spot.

Prints its port, then a line for each request. `cowsay` and `mooing` have a word to say;
the file of `tampered` is not what the index says.
"""

import base64
import hashlib
import io
import json
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


WHEELS = {name: wheel(name) for name in ("cowsay", "mooing", "tampered")}
# One says another word once its script has run.
GROWLS = {"scripts": {"postinstall": "echo \"module.exports = 'grr';\" > index.js"}}
TARBALLS = {"cowsay": tarball("cowsay"), "growling": tarball("growling", **GROWLS)}


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
        else:
            self.give("text/plain", b"not found", 404)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
sys.stdin.close()
server.serve_forever()
