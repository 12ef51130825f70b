"""Runs every program with every case of its own and prints what they show as a table in Markdown.

    PYTHON="…/python3" NODE="node" python3 features/programs/table.py

PYTHON, NODE and SHELL_WITH_CURL are what the programs are started with; the server comes by the
SDKs' own variables. README.md shows how with the images.
"""

import concurrent.futures
import json
import os
import pathlib
import shlex
import subprocess
import sys

STARTERS = {".py": "PYTHON", ".cjs": "NODE", ".sh": "SHELL_WITH_CURL"}
DEFAULTS = {"PYTHON": "python3", "NODE": "node", "SHELL_WITH_CURL": "sh"}
AT_A_TIME = 3
LONGEST_SECONDS = 60

folder = pathlib.Path(os.environ.get("PROGRAMS", pathlib.Path(__file__).parent))
names = ["openai-sdk.py", "openai-sdk.cjs", "anthropic-sdk.py"]
names += ["ollama-sdk.py", "ollama-sdk.cjs", "curl.sh"]


def run(name, case):
    variable = STARTERS[pathlib.Path(name).suffix]
    starter = shlex.split(os.environ.get(variable, DEFAULTS[variable]))
    argv = [*starter, str(folder / name), case]
    return subprocess.run(argv, capture_output=True, text=True, timeout=LONGEST_SECONDS)


def cases_of(name):
    usage = run(name, "").stderr.strip().splitlines()[-1]
    return usage.split(" ")[-1].split("|")


def cell(name, case):
    ended = run(name, case)
    try:
        line = json.loads(ended.stdout)
    except json.JSONDecodeError:
        print(f"{name} {case}: {ended.stdout[:300]} {ended.stderr[:300]}", file=sys.stderr)
        return "no line"
    words = ["ok" if line["outcome"] == "ok" else f"`{line['error']}`"]
    if line["status"] is not None and line["error"] != f"HTTP {line['status']}":
        words.append(str(line["status"]))
    if line["outcome"] == "error" and line["pieces"]:
        words.append(f"after {line['pieces']}")
    if line["outcome"] == "ok" and not line["pieces"] and not line["usage"]:
        words.append("with nothing")
    return " ".join(words)


def main():
    cases = {name: cases_of(name) for name in names}
    rows = list(dict.fromkeys(case for own in cases.values() for case in own))
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        cells = {
            (name, case): pool.submit(cell, name, case) for name in names for case in cases[name]
        }
    print(f"| case | {' | '.join(f'`{name}`' for name in names)} |")
    print(f"|{'---|' * (len(names) + 1)}")
    for case in rows:
        shown = [cells[name, case].result() if (name, case) in cells else "–" for name in names]
        print(f"| `{case}` | {' | '.join(shown)} |")


main()
