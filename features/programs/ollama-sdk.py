"""Uses inference as any program with Ollama's Python SDK does: ollama-sdk.py CASE

Prints one line of JSON; README.md has the cases and the line. The SDK finds its server by itself.
"""

import json
import os
import signal
import sys

import ollama

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
FUNCTION = {"name": "weather", "description": "The weather in a city", "parameters": SCHEMA}


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


def ended(seen, answer):
    seen.finish = answer.done_reason
    seen.usage = {name: answer[name] for name in ("prompt_eval_count", "eval_count")}


def whole(client, seen, model, text="hello from the sandbox"):
    answer = client.chat(model=model, messages=ask(text))
    seen.piece(answer.message.content)
    ended(seen, answer)


def stream(client, seen, model, text="hello from the sandbox", stop_after=None):
    answers = client.chat(model=model, messages=ask(text), stream=True)
    for answer in answers:
        if answer.message.content:
            seen.piece(answer.message.content)
        if answer.done:
            ended(seen, answer)
        if seen.pieces == stop_after:
            answers.close()


def tools(client, seen, model):
    answer = client.chat(
        model=model,
        messages=ask("use the tool"),
        tools=[{"type": "function", "function": FUNCTION}],
    )
    call = answer.message.tool_calls[0].function
    seen.piece(called(call.name, call.arguments))
    ended(seen, answer)


def tools_stream(client, seen, model):
    """A call comes whole in one of the pieces."""
    for answer in client.chat(
        model=model,
        messages=ask("use the tool"),
        tools=[{"type": "function", "function": FUNCTION}],
        stream=True,
    ):
        for call in answer.message.tool_calls or []:
            seen.piece(called(call.function.name, call.function.arguments))
        if answer.done:
            ended(seen, answer)


def generate(client, seen, model):
    for answer in client.generate(model=model, prompt="hello from the sandbox", stream=True):
        if answer.response:
            seen.piece(answer.response)
        if answer.done:
            ended(seen, answer)


def embed(client, seen, model):
    for embedding in client.embed(model=model, input=["one text", "and another"]).embeddings:
        seen.piece(f"{len(embedding)} ")


def models(client, seen, _model):
    for model in client.list().models:
        seen.piece(f"{model.model} ")


CASES = {
    "unary": (whole, MODEL),
    "stream": (stream, MODEL),
    "tools": (tools, MODEL),
    "tools-stream": (tools_stream, MODEL),
    "generate": (generate, MODEL),
    "embed": (embed, MODEL),
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
        client = ollama.Client(timeout=patience)
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
