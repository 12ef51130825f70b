// Uses inference as any program with Ollama's Node SDK does: ollama-sdk.cjs CASE
//
// Prints one line of JSON; README.md has the cases and the line. The SDK reads no environment:
// its documentation says to pass the host.
"use strict";

const { Ollama } = require("ollama");
const { HELLO, MODEL, WEATHER, ask, commonCases, main, pick } = require("./cases.cjs");

function ended(seen, answer) {
  seen.finish = answer.done_reason;
  seen.usage = pick(answer, "prompt_eval_count", "eval_count");
}

function calledTools(seen, { message }) {
  for (const { function: call } of message.tool_calls ?? []) {
    seen.piece(`${call.name}(${Object.keys(call.arguments).join(", ")})`);
  }
}

async function whole(client, seen, model, text = HELLO) {
  const answer = await client.chat({ model, messages: ask(text) });
  seen.piece(answer.message.content);
  ended(seen, answer);
}

async function stream(client, seen, model, text = HELLO, stopAfter = null) {
  const answers = await client.chat({ model, messages: ask(text), stream: true });
  for await (const answer of answers) {
    if (answer.message.content) seen.piece(answer.message.content);
    if (answer.done) ended(seen, answer);
    if (seen.pieces === stopAfter) {
      // Leaving the loop alone would let the call go on.
      answers.abort();
      break;
    }
  }
}

async function tools(client, seen, model) {
  const answer = await client.chat({
    model,
    messages: ask("use the tool"),
    tools: [{ type: "function", function: WEATHER }],
  });
  calledTools(seen, answer);
  ended(seen, answer);
}

/** A call comes whole in one of the pieces. */
async function toolsStream(client, seen, model) {
  const answers = await client.chat({
    model,
    messages: ask("use the tool"),
    tools: [{ type: "function", function: WEATHER }],
    stream: true,
  });
  for await (const answer of answers) {
    calledTools(seen, answer);
    if (answer.done) ended(seen, answer);
  }
}

async function generate(client, seen, model) {
  for await (const answer of await client.generate({ model, prompt: HELLO, stream: true })) {
    if (answer.response) seen.piece(answer.response);
    if (answer.done) ended(seen, answer);
  }
}

async function embed(client, seen, model) {
  const answer = await client.embed({ model, input: ["one text", "and another"] });
  for (const embedding of answer.embeddings) seen.piece(`${embedding.length} `);
}

async function models(client, seen) {
  for (const { name } of (await client.list()).models) seen.piece(`${name} `);
}

const CASES = {
  ...commonCases(whole, stream),
  tools: [tools, MODEL],
  "tools-stream": [toolsStream, MODEL],
  generate: [generate, MODEL],
  embed: [embed, MODEL],
  models: [models, MODEL],
};

main(() => new Ollama({ host: process.env.OLLAMA_HOST }), CASES);
