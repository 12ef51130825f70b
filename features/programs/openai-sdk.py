"""Uses inference as any program with OpenAI's Python SDK does: openai-sdk.py CASE

Prints one line of JSON; README.md has the cases and the line. The SDK finds its server by itself.
"""

import json
import os
import signal
import sys

import openai

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


class ErrorEvent(Exception):
    """The stream of a response said so; the SDK hands it on as an event like any other."""


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


def whole(client, seen, model, text="hello from the sandbox"):
    answer = client.chat.completions.create(model=model, messages=ask(text))
    seen.piece(answer.choices[0].message.content)
    seen.finish = answer.choices[0].finish_reason
    seen.usage = answer.usage.model_dump(include={"prompt_tokens", "completion_tokens"})


def stream(client, seen, model, text="hello from the sandbox", stop_after=None):
    options = {"include_usage": True}
    with client.chat.completions.create(
        model=model, messages=ask(text), stream=True, stream_options=options
    ) as chunks:
        for chunk in chunks:
            for choice in chunk.choices:
                if choice.delta.content:
                    seen.piece(choice.delta.content)
                seen.finish = choice.finish_reason or seen.finish
            if chunk.usage:
                seen.usage = chunk.usage.model_dump(include={"prompt_tokens", "completion_tokens"})
            if seen.pieces == stop_after:
                break


def tools(client, seen, model):
    answer = client.chat.completions.create(
        model=model,
        messages=ask("use the tool"),
        tools=[{"type": "function", "function": FUNCTION}],
    )
    call = answer.choices[0].message.tool_calls[0].function
    seen.piece(called(call.name, json.loads(call.arguments)))
    seen.finish = answer.choices[0].finish_reason
    seen.usage = answer.usage.model_dump(include={"prompt_tokens", "completion_tokens"})


def tools_stream(client, seen, model):
    """The arguments come in pieces that are JSON only together."""
    name, arguments = "", ""
    for chunk in client.chat.completions.create(
        model=model,
        messages=ask("use the tool"),
        tools=[{"type": "function", "function": FUNCTION}],
        stream=True,
    ):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
                seen.pieces += 1
            seen.finish = choice.finish_reason or seen.finish
    seen.text = called(name, json.loads(arguments))


def responses(client, seen, model):
    answer = client.responses.create(model=model, input="hello from the sandbox")
    seen.piece(answer.output_text)
    seen.finish = answer.status
    seen.usage = answer.usage.model_dump(include={"input_tokens", "output_tokens"})


def responses_stream(client, seen, model):
    for event in client.responses.create(model=model, input="hello from the sandbox", stream=True):
        if event.type == "response.output_text.delta":
            seen.piece(event.delta)
        elif event.type == "response.completed":
            seen.finish = event.response.status
            seen.usage = event.response.usage.model_dump(include={"input_tokens", "output_tokens"})
        elif event.type in ("error", "response.failed"):
            raise ErrorEvent(event.to_json(indent=None))


def embed(client, seen, model):
    answer = client.embeddings.create(model=model, input=["one text", "and another"])
    for item in answer.data:
        seen.piece(f"{len(item.embedding)} ")


def models(client, seen, _model):
    for model in client.models.list():
        seen.piece(f"{model.id} ")


CASES = {
    "unary": (whole, MODEL),
    "stream": (stream, MODEL),
    "tools": (tools, MODEL),
    "tools-stream": (tools_stream, MODEL),
    "responses": (responses, MODEL),
    "responses-stream": (responses_stream, MODEL),
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
    CASES[f"responses-{fault}"] = (responses_stream, f"fail-{fault}")


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
        client = openai.OpenAI(max_retries=0, timeout=patience)
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
