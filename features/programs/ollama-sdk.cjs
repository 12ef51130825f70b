// Uses inference as any program with Ollama's Node SDK does: ollama-sdk.cjs CASE
//
// Prints one line of JSON; README.md has the cases and the line. The SDK reads no environment:
// its documentation says to pass the host.
"use strict";

const { Ollama } = require("ollama");

const MODEL = process.env.MODEL ?? "dev";
const SHOWN_CHARACTERS = 1000;
// The SDK has no timeout, so the program ends what takes longer by a little.
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

/** The SDK has no timeout of its own. */
class ProgramTimeout extends Error {}

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
  unary: [whole, MODEL],
  stream: [stream, MODEL],
  tools: [tools, MODEL],
  "tools-stream": [toolsStream, MODEL],
  generate: [generate, MODEL],
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
    const client = new Ollama({ host: process.env.OLLAMA_HOST });
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
    status: error?.status_code ?? null,
    message: error ? String(error.message).slice(0, 200) : null,
  };
  console.log(JSON.stringify(line));
  // A stream that hangs would keep the process.
  process.exit(0);
}

main();
