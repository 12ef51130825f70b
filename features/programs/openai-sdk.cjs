// Uses inference as any program with OpenAI's Node SDK does: openai-sdk.cjs CASE
//
// Prints one line of JSON; README.md has the cases and the line. The SDK finds its server by itself.
"use strict";

const { OpenAI } = require("openai");
const { FAULTS, HELLO, MODEL, WEATHER, ask, commonCases, main, pick } = require("./cases.cjs");

/** The stream of a response said so; the SDK hands it on as an event like any other. */
class ErrorEvent extends Error {}

const chatUsage = (usage) => pick(usage, "prompt_tokens", "completion_tokens");
const responsesUsage = (usage) => pick(usage, "input_tokens", "output_tokens");
const called = (name, json) => `${name}(${Object.keys(JSON.parse(json)).join(", ")})`;

async function whole(client, seen, model, text = HELLO) {
  const answer = await client.chat.completions.create({ model, messages: ask(text) });
  seen.piece(answer.choices[0].message.content);
  seen.finish = answer.choices[0].finish_reason;
  seen.usage = chatUsage(answer.usage);
}

async function stream(client, seen, model, text = HELLO, stopAfter = null) {
  const chunks = await client.chat.completions.create({
    model,
    messages: ask(text),
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of chunks) {
    for (const choice of chunk.choices) {
      if (choice.delta.content) seen.piece(choice.delta.content);
      seen.finish = choice.finish_reason ?? seen.finish;
    }
    if (chunk.usage) seen.usage = chatUsage(chunk.usage);
    if (seen.pieces === stopAfter) break;
  }
}

async function tools(client, seen, model) {
  const answer = await client.chat.completions.create({
    model,
    messages: ask("use the tool"),
    tools: [{ type: "function", function: WEATHER }],
  });
  const call = answer.choices[0].message.tool_calls[0].function;
  seen.piece(called(call.name, call.arguments));
  seen.finish = answer.choices[0].finish_reason;
  seen.usage = chatUsage(answer.usage);
}

/** The arguments come in pieces that are JSON only together. */
async function toolsStream(client, seen, model) {
  let name = "";
  let json = "";
  const chunks = await client.chat.completions.create({
    model,
    messages: ask("use the tool"),
    tools: [{ type: "function", function: WEATHER }],
    stream: true,
  });
  for await (const { choices } of chunks) {
    for (const choice of choices) {
      for (const call of choice.delta.tool_calls ?? []) {
        name += call.function.name ?? "";
        json += call.function.arguments ?? "";
        seen.pieces += 1;
      }
      seen.finish = choice.finish_reason ?? seen.finish;
    }
  }
  seen.text = called(name, json);
}

async function responses(client, seen, model) {
  const answer = await client.responses.create({ model, input: HELLO });
  seen.piece(answer.output_text);
  seen.finish = answer.status;
  seen.usage = responsesUsage(answer.usage);
}

async function responsesStream(client, seen, model) {
  const events = await client.responses.create({ model, input: HELLO, stream: true });
  for await (const event of events) {
    if (event.type === "response.output_text.delta") {
      seen.piece(event.delta);
    } else if (event.type === "response.completed") {
      seen.finish = event.response.status;
      seen.usage = responsesUsage(event.response.usage);
    } else if (event.type === "error" || event.type === "response.failed") {
      throw new ErrorEvent(JSON.stringify(event));
    }
  }
}

async function embed(client, seen, model) {
  const answer = await client.embeddings.create({ model, input: ["one text", "and another"] });
  for (const { embedding } of answer.data) seen.piece(`${embedding.length} `);
}

async function models(client, seen) {
  for await (const model of client.models.list()) seen.piece(`${model.id} `);
}

const CASES = {
  ...commonCases(whole, stream),
  tools: [tools, MODEL],
  "tools-stream": [toolsStream, MODEL],
  responses: [responses, MODEL],
  "responses-stream": [responsesStream, MODEL],
  embed: [embed, MODEL],
  models: [models, MODEL],
};
for (const fault of FAULTS) CASES[`responses-${fault}`] = [responsesStream, `fail-${fault}`];

main((patience) => new OpenAI({ maxRetries: 0, timeout: patience }), CASES);
