"""The least that runs code and keeps its state: a loop on two pipes, without any wall."""

import contextlib
import io
import json
import sys

namespace = {"__name__": "__main__"}
for line in sys.stdin:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(json.loads(line), "<cell>", "exec"), namespace)
    print(json.dumps(output.getvalue()), flush=True)
