"""Sessions of the llm-sandbox package, one order a line: open, run, close.

Arguments: Podman's socket, the image, and `plain` or `interactive`. Its sessions are opened as its documentation
says, with what it can leave out left out.
"""

import json
import sys

from podman import PodmanClient

from llm_sandbox import SandboxBackend
from llm_sandbox.interactive import InteractiveSandboxSession
from llm_sandbox.podman import SandboxPodmanSession


def new_session(client, image, kind, libraries):
    options = {
        "client": client,
        "image": image,
        "lang": "python",
        "keep_template": True,
        "skip_environment_setup": True,
        "verbose": False,
    }
    # What its own set-up would make and install is there already, from the host: a program called `python`, and the
    # virtual environment with IPython that interactive sessions start from.
    mount = {"type": "bind", "source": libraries, "target": "/tmp/.sandbox-venv", "read_only": True}
    path = "/tmp/.sandbox-venv/plain:/usr/bin:/bin"
    configs = {"network_mode": "none", "mounts": [mount], "environment": {"PATH": path}}
    options |= {"runtime_configs": configs, "workdir": "/tmp"}
    if kind == "plain":
        return SandboxPodmanSession(**options)
    return InteractiveSandboxSession(backend=SandboxBackend.PODMAN, max_memory=None, **options)


def remove(session):
    # Not by `close`, which gives the container 10 s to end by itself; removal isn't measured.
    if session is not None and session.container:
        session.container.remove(force=True, timeout=0)


def main():
    socket, image, kind, libraries = sys.argv[1:]
    client = PodmanClient(base_url=socket)
    session = None
    try:
        for line in sys.stdin:
            order = json.loads(line)
            answer = None
            if order["do"] == "open":
                session = new_session(client, image, kind, libraries)
                session.open()
            elif order["do"] == "run":
                output = session.run(order["code"])
                answer = output.stdout
                if output.exit_code:
                    sys.exit(f"the code failed: {output.stderr}")
            else:
                remove(session)
                session = None
            print(json.dumps(answer), flush=True)
    finally:
        remove(session)


main()
