"""Uses inference as any program with Anthropic's Python SDK does: anthropic-sdk.py CASE

Prints one line of JSON; README.md has the cases and the line. The SDK finds its server by itself.
"""

import json
import os
import signal
import sys

import anthropic

MODEL = os.environ.get("MODEL", "dev")
SHOWN_CHARACTERS = 1000
# The SDK's timeout; where it has not ended a call a little later, the program does.
PATIENCE_SECONDS = 30
PATIENCE_WITH_HANGS_SECONDS = 5
GRACE_SECONDS = 3
HANGS = ("silent", "slow-headers", "stall")
FAULTS = ["bytes", "cut", "error-in-200", "gzip", "huge", "malformed", "redirect", "reset", *HANGS]

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
TOOL = {"name": "weather", "description": "The weather in a city", "input_schema": SCHEMA}
ANSWER_TOKENS = 1024


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


def ended(seen, message):
    seen.finish = message.stop_reason
    seen.usage = message.usage.model_dump(include={"input_tokens", "output_tokens"})


def whole(client, seen, model, text="hello from the sandbox"):
    message = client.messages.create(model=model, messages=ask(text), max_tokens=ANSWER_TOKENS)
    for block in message.content:
        seen.piece(block.text)
    ended(seen, message)


def stream(client, seen, model, text="hello from the sandbox", stop_after=None):
    with client.messages.stream(
        model=model, messages=ask(text), max_tokens=ANSWER_TOKENS
    ) as answer:
        for piece in answer.text_stream:
            seen.piece(piece)
            if seen.pieces == stop_after:
                return
        ended(seen, answer.get_final_message())


def tools(client, seen, model):
    message = client.messages.create(
        model=model, messages=ask("use the tool"), max_tokens=ANSWER_TOKENS, tools=[TOOL]
    )
    seen.piece(called(message.content[0].name, message.content[0].input))
    ended(seen, message)


def tools_stream(client, seen, model):
    """The arguments come in pieces that are JSON only together; the SDK puts them together."""
    with client.messages.stream(
        model=model, messages=ask("use the tool"), max_tokens=ANSWER_TOKENS, tools=[TOOL]
    ) as answer:
        for event in answer:
            seen.pieces += event.type == "input_json"
        message = answer.get_final_message()
    seen.text = called(message.content[0].name, message.content[0].input)
    ended(seen, message)


def count(client, seen, model):
    answer = client.messages.count_tokens(model=model, messages=ask("hello from the sandbox"))
    seen.usage = {"input_tokens": answer.input_tokens}


def models(client, seen, _model):
    for model in client.models.list():
        seen.piece(f"{model.id} ")


CASES = {
    "unary": (whole, MODEL),
    "stream": (stream, MODEL),
    "tools": (tools, MODEL),
    "tools-stream": (tools_stream, MODEL),
    "count": (count, MODEL),
    "models": (models, MODEL),
    "abort": (stream, MODEL, "word " * 500, 3),
    "large": (whole, MODEL, "x" * (10 * 1024 * 1024 + 1)),
    "error-429": (whole, "fail-429"),
    "error-500": (whole, "fail-500"),
    "error-529": (whole, "fail-529"),
}
for fault in FAULTS:
    CASES[fault] = (stream, f"fail-{fault}")
    CASES[f"whole-{fault}"] = (whole, f"fail-{fault}")


def ended_by_alarm(_signal, _frame):
    raise ProgramTimeout("nothing else ended it")


def main():
    case = sys.argv[1] if len(sys.argv) > 1 else ""
    if case not in CASES:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(CASES)}")
    run, *arguments = CASES[case]
    signal.signal(signal.SIGALRM, ended_by_alarm)
    patience = PATIENCE_WITH_HANGS_SECONDS if case.endswith(HANGS) else PATIENCE_SECONDS
    signal.alarm(patience + GRACE_SECONDS)
    seen, error = Seen(), None
    try:
        client = anthropic.Anthropic(max_retries=0, timeout=patience)
        run(client, seen, *arguments)
    except (Exception, ProgramTimeout) as raised:
        error = raised
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


main()
