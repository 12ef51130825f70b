"""Uses inference as any program with Ollama's Python SDK does: ollama-sdk.py CASE

Prints one line of JSON; README.md has the cases and the line. The SDK finds its server by itself.
"""

import ollama
from cases import FUNCTION_TOOL, MODEL, ask, called, common_cases, main


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
        tools=[FUNCTION_TOOL],
    )
    call = answer.message.tool_calls[0].function
    seen.piece(called(call.name, call.arguments))
    ended(seen, answer)


def tools_stream(client, seen, model):
    """A call comes whole in one of the pieces."""
    for answer in client.chat(
        model=model,
        messages=ask("use the tool"),
        tools=[FUNCTION_TOOL],
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


CASES = common_cases(whole, stream) | {
    "tools": (tools, MODEL),
    "tools-stream": (tools_stream, MODEL),
    "generate": (generate, MODEL),
    "embed": (embed, MODEL),
    "models": (models, MODEL),
}

main(lambda patience: ollama.Client(timeout=patience), CASES)
