"""Uses inference as any program with Anthropic's Python SDK does: anthropic-sdk.py CASE

Prints one line of JSON; README.md has the cases and the line. The SDK finds its server by itself.
"""

import anthropic
from cases import MODEL, SCHEMA, TOOL_DESCRIPTION, TOOL_NAME, ask, called, common_cases, main

TOOL = {"name": TOOL_NAME, "description": TOOL_DESCRIPTION, "input_schema": SCHEMA}
ANSWER_TOKENS = 1024


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


CASES = common_cases(whole, stream) | {
    "tools": (tools, MODEL),
    "tools-stream": (tools_stream, MODEL),
    "count": (count, MODEL),
    "models": (models, MODEL),
}

main(lambda patience: anthropic.Anthropic(max_retries=0, timeout=patience), CASES)
