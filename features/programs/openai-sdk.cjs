// Uses inference as any program with OpenAI's Node SDK does: openai-sdk.cjs CASE
//
// Prints one line of JSON; README.md has the cases and the line. The SDK finds its server by itself.
"use strict";

const { OpenAI } = require("openai");

const MODEL = process.env.MODEL ?? "dev";
const SHOWN_CHARACTERS = 1000;
// The SDK's timeout; where it has not ended a call a little later, the program does.
const PATIENCE_MS = 30_000;
const PATIENCE_WITH_HANGS_MS = 5_000;
const GRACE_MS = 3_000;
const HANGS = ["silent", "slow-headers", "stall"];
const FAULTS = ["bytes", "cut", "error-in-200", "gzip", "huge", "malformed", "redirect", "reset"];
FAULTS.push(...HANGS);

const HELLO = "hello from the sandbox";
const WEATHER = {
  name: "weather",
  description: "The weather in a city",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

/** The SDK's own timeout did not end it. */
class ProgramTimeout extends Error {}

/** The stream of a response said so; the SDK hands it on as an event like any other. */
class ErrorEvent extends Error {}

/** What had come when it ended, well or not. */
class Seen {
  text = "";
  pieces = 0;
  usage = null;
  finish = null;

  piece(text) {
    this.text += text;
    this.pieces += 1;
  }
}

const ask = (content) => [{ role: "user", content }];
const pick = (usage, ...names) => Object.fromEntries(names.map((name) => [name, usage[name]]));
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
  unary: [whole, MODEL],
  stream: [stream, MODEL],
  tools: [tools, MODEL],
  "tools-stream": [toolsStream, MODEL],
  responses: [responses, MODEL],
  "responses-stream": [responsesStream, MODEL],
  embed: [embed, MODEL],
  models: [models, MODEL],
  abort: [stream, MODEL, "word ".repeat(500), 3],
  large: [whole, MODEL, "x".repeat(10 * 1024 * 1024 + 1)],
  "error-429": [whole, "fail-429"],
  "error-500": [whole, "fail-500"],
  "error-529": [whole, "fail-529"],
};
for (const fault of FAULTS) {
  CASES[fault] = [stream, `fail-${fault}`];
  CASES[`whole-${fault}`] = [whole, `fail-${fault}`];
  CASES[`responses-${fault}`] = [responsesStream, `fail-${fault}`];
}

function alarm(patience) {
  const late = new ProgramTimeout("nothing else ended it");
  return new Promise((_, reject) => setTimeout(reject, patience + GRACE_MS, late));
}

async function main() {
  const name = process.argv[2] ?? "";
  if (!Object.hasOwn(CASES, name)) {
    console.error(`usage: ${process.argv[1]} ${Object.keys(CASES).join("|")}`);
    process.exit(1);
  }
  const [run, ...values] = CASES[name];
  const hangs = HANGS.some((fault) => name.endsWith(fault));
  const patience = hangs ? PATIENCE_WITH_HANGS_MS : PATIENCE_MS;
  const seen = new Seen();
  let error = null;
  try {
    const client = new OpenAI({ maxRetries: 0, timeout: patience });
    await Promise.race([run(client, seen, ...values), alarm(patience)]);
  } catch (thrown) {
    error = thrown;
  }
  const line = {
    case: name,
    outcome: error ? "error" : "ok",
    text: seen.text.slice(0, SHOWN_CHARACTERS),
    length: seen.text.length,
    pieces: seen.pieces,
    finish: seen.finish,
    usage: seen.usage,
    error: error?.constructor.name ?? null,
    status: error?.status ?? null,
    message: error ? String(error.message).slice(0, 200) : null,
  };
  console.log(JSON.stringify(line));
  // A stream that hangs would keep the process.
  process.exit(0);
}

main();
