// What the programs of the Node SDKs share: the faults, what a case has seen, and its line of JSON.
"use strict";

const MODEL = process.env.MODEL ?? "dev";
const SHOWN_CHARACTERS = 1000;
// The SDK's timeout, if it has one; where it has not ended a call a little later, the program does.
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

/** No timeout of the SDK's ended it. */
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

/** The cases of every SDK that are told by how they ask for an answer, in one piece or in many. */
function commonCases(whole, stream) {
  const cases = {
    unary: [whole, MODEL],
    stream: [stream, MODEL],
    abort: [stream, MODEL, "word ".repeat(500), 3],
    large: [whole, MODEL, "x".repeat(10 * 1024 * 1024 + 1)],
    "error-429": [whole, "fail-429"],
    "error-500": [whole, "fail-500"],
    "error-529": [whole, "fail-529"],
  };
  for (const fault of FAULTS) {
    cases[fault] = [stream, `fail-${fault}`];
    cases[`whole-${fault}`] = [whole, `fail-${fault}`];
  }
  return cases;
}

function alarm(patience) {
  const late = new ProgramTimeout("nothing else ended it");
  return new Promise((_, reject) => setTimeout(reject, patience + GRACE_MS, late));
}

/** Runs the case that was asked for, with a client that `connect` makes for a timeout. */
async function main(connect, cases) {
  const name = process.argv[2] ?? "";
  if (!Object.hasOwn(cases, name)) {
    console.error(`usage: ${process.argv[1]} ${Object.keys(cases).join("|")}`);
    process.exit(1);
  }
  const [run, ...values] = cases[name];
  const hangs = HANGS.some((fault) => name.endsWith(fault));
  const patience = hangs ? PATIENCE_WITH_HANGS_MS : PATIENCE_MS;
  const seen = new Seen();
  let error = null;
  try {
    await Promise.race([run(connect(patience), seen, ...values), alarm(patience)]);
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
    // OpenAI's name for it, then Ollama's.
    status: error?.status ?? error?.status_code ?? null,
    message: error ? String(error.message).slice(0, 200) : null,
  };
  console.log(JSON.stringify(line));
  // A stream that hangs would keep the process.
  process.exit(0);
}

module.exports = { FAULTS, HELLO, MODEL, WEATHER, ask, commonCases, main, pick };
