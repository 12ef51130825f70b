"""What the programs of the Python SDKs share: the faults, what a case has seen, and its line of JSON."""

import json
import os
import signal
import sys

MODEL = os.environ.get("MODEL", "dev")
SHOWN_CHARACTERS = 1000
# The SDK's timeout; where it has not ended a call a little later, the program does.
PATIENCE_SECONDS = 30
PATIENCE_WITH_HANGS_SECONDS = 5
GRACE_SECONDS = 3
HANGS = ("silent", "slow-headers", "stall")
FAULTS = ["bytes", "cut", "error-in-200", "gzip", "huge", "malformed", "redirect", "reset", *HANGS]

TOOL_NAME = "weather"
TOOL_DESCRIPTION = "The weather in a city"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
# As OpenAI and Ollama want it.
FUNCTION_TOOL = {
    "type": "function",
    "function": {"name": TOOL_NAME, "description": TOOL_DESCRIPTION, "parameters": SCHEMA},
}


class ProgramTimeout(BaseException):
    """The SDK's own timeout did not end it. Not an Exception, so that the SDK can't wrap it."""


class Seen:
    """What had come when it ended, well or not."""

    text = ""
    pieces = 0
    usage = None
    finish = None

    def piece(self, text):
        self.text += text
        self.pieces += 1


def ask(text):
    return [{"role": "user", "content": text}]


def called(name, arguments):
    return f"{name}({', '.join(arguments)})"


def common_cases(whole, stream):
    """The cases of every SDK that are told by how they ask for an answer, in one piece or in many."""
    cases = {
        "unary": (whole, MODEL),
        "stream": (stream, MODEL),
        "abort": (stream, MODEL, "word " * 500, 3),
        "large": (whole, MODEL, "x" * (10 * 1024 * 1024 + 1)),
        "error-429": (whole, "fail-429"),
        "error-500": (whole, "fail-500"),
        "error-529": (whole, "fail-529"),
    }
    for fault in FAULTS:
        cases[fault] = (stream, f"fail-{fault}")
        cases[f"whole-{fault}"] = (whole, f"fail-{fault}")
    return cases


def ended_by_alarm(_signal, _frame):
    raise ProgramTimeout("nothing else ended it")


def main(connect, cases):
    """Runs the case that was asked for, with a client that `connect` makes for a timeout."""
    case = sys.argv[1] if len(sys.argv) > 1 else ""
    if case not in cases:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(cases)}")
    run, *arguments = cases[case]
    signal.signal(signal.SIGALRM, ended_by_alarm)
    patience = PATIENCE_WITH_HANGS_SECONDS if case.endswith(HANGS) else PATIENCE_SECONDS
    signal.alarm(patience + GRACE_SECONDS)
    seen, error = Seen(), None
    try:
        run(connect(patience), seen, *arguments)
    except (Exception, ProgramTimeout) as raised:
        error = raised
    # While the interpreter ends, nobody would catch it.
    signal.alarm(0)
    line = {
        "case": case,
        "outcome": "error" if error else "ok",
        "text": seen.text[:SHOWN_CHARACTERS],
        "length": len(seen.text),
        "pieces": seen.pieces,
        "finish": seen.finish,
        "usage": seen.usage,
        "error": type(error).__name__ if error else None,
        "status": getattr(error, "status_code", None),
        "message": str(error)[:200] if error else None,
    }
    print(json.dumps(line))
