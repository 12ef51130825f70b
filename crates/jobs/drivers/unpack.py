"""Unpacks wheels beneath a folder: `unpack folder path…`. The gate has checked what they are."""

import http.client
import os
import shutil
import sys
import zipfile

folder, *paths = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
here = os.path.join(folder, ".wheel")
gate = http.client.HTTPConnection("127.0.0.1", 11434, timeout=60)
for path in paths:
    gate.request("GET", path)
    answer = gate.getresponse()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status}")
    with open(here, "wb") as file:
        shutil.copyfileobj(answer, file)
    with zipfile.ZipFile(here) as wheel:
        for member in wheel.infolist():
            parts = member.filename.split("/")
            if parts[0].endswith(".data"):
                # What is no module has no place beneath a folder of modules.
                if parts[1] not in ("purelib", "platlib"):
                    continue
                member.filename = "/".join(parts[2:])
            wheel.extract(member, folder)
    os.remove(here)
