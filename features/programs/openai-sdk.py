"""Uses inference as any program with OpenAI's Python SDK does: openai-sdk.py CASE

Prints one line of JSON; README.md has the cases and the line. The SDK finds its server by itself.
"""

import json

import openai
from cases import FAULTS, FUNCTION_TOOL, MODEL, ask, called, common_cases, main


class ErrorEvent(Exception):
    """The stream of a response said so; the SDK hands it on as an event like any other."""


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
        tools=[FUNCTION_TOOL],
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
        tools=[FUNCTION_TOOL],
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


CASES = common_cases(whole, stream) | {
    "tools": (tools, MODEL),
    "tools-stream": (tools_stream, MODEL),
    "responses": (responses, MODEL),
    "responses-stream": (responses_stream, MODEL),
    "embed": (embed, MODEL),
    "models": (models, MODEL),
}
for fault in FAULTS:
    CASES[f"responses-{fault}"] = (responses_stream, f"fail-{fault}")

main(lambda patience: openai.OpenAI(max_retries=0, timeout=patience), CASES)
