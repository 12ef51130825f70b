// Runs cells in one Node process, with state that lasts from cell to cell.
//
// V8's inspector evaluates a cell in the mode that Node's own console has: `const` may be declared
// again and `await` stands anywhere. A worker hears the requests, so that it can end a loop without
// end. Requests come on descriptor 3, events go to descriptor 4.

const fs = require('node:fs');
const inspector = require('node:inspector');
const { createRequire, stripTypeScriptTypes } = require('node:module');
const { join } = require('node:path');
const { inspect } = require('node:util');
const { Worker } = require('node:worker_threads');

// --- Values and errors as others can read them ------------------------------------------------

// A value that knows its own forms says so as in notebooks for JavaScript.
const FORMS = {
  toHtml: 'text/html',
  toMarkdown: 'text/markdown',
  toSvg: 'image/svg+xml',
  toPng: 'image/png',
  toLatex: 'text/latex',
};

function bundle(value) {
  const data = { 'text/plain': inspect(value, { depth: 4 }) };
  for (const [method, kind] of Object.entries(FORMS)) {
    try {
      if (typeof value?.[method] === 'function') {
        const form = value[method]();
        data[kind] = Buffer.isBuffer(form) ? form.toString('base64') : String(form);
      }
    } catch {
      // A form that fails is one that the value does not have.
    }
  }
  try {
    const prototype = value !== null && typeof value === 'object' && Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === Array.prototype) {
      data['application/json'] = JSON.parse(JSON.stringify(value));
    }
  } catch {
    // A circle has no JSON.
  }
  return data;
}

// The process is more than one cell: `exit` ends the cell.
class Exit {
  constructor(code) {
    this.code = Number.isInteger(code) ? code & 255 : 0;
  }
}

function failure(error) {
  if (!(error instanceof Error)) {
    const text = inspect(error);
    return { name: 'Error', value: text, traceback: ['Uncaught ' + text] };
  }
  // Node's frames are ours: the code begins below them.
  const lines = String(error.stack ?? error).split('\n');
  const traceback = lines.filter((line) => !/\(?node:|\[eval\]|at new Promise \(<anonymous>\)/.test(line));
  return { name: error.name, value: error.message, traceback };
}

function say(line) {
  const bytes = Buffer.from(line + '\n');
  for (let at = 0; at < bytes.length;) at += fs.writeSync(4, bytes, at);
}

// --- Running code -----------------------------------------------------------------------------

const session = new inspector.Session();
session.connect();
const post = (method, parameters) => new Promise((resolve, reject) => {
  session.post(method, parameters, (error, answer) => (error ? reject(error) : resolve(answer)));
});

// The inspector hands out handles of values; what is behind one comes back through a function here.
let behind;
Object.defineProperty(globalThis, Symbol.for('pinfold'), { value: (value) => { behind = value; } });
async function valueOf(handle) {
  const argument = handle.objectId ? { objectId: handle.objectId }
    : handle.unserializableValue ? { unserializableValue: handle.unserializableValue }
      : { value: handle.value };
  const self = await post('Runtime.evaluate', { expression: 'globalThis' });
  await post('Runtime.callFunctionOn', {
    functionDeclaration: 'function (value) { globalThis[Symbol.for("pinfold")](value) }',
    objectId: self.result.objectId,
    arguments: [argument],
  });
  return behind;
}

// Where npm installs globally. What an image has there comes first: Node's own way is not there
// before 22.13, and knows no enums from 26 on.
const TRANSFORMER = '/usr/local/lib/node_modules/amaro';
let transformer;

function withoutTypes(code) {
  if (fs.existsSync(TRANSFORMER)) {
    transformer ??= createRequire(TRANSFORMER)(TRANSFORMER);
    try {
      return transformer.transformSync(code, { mode: 'transform' }).code;
    } catch (told) {
      // What it throws is no Error.
      const error = new SyntaxError(String(told?.message ?? told));
      error.stack = `cell-${number}:${told?.startLine}\n${told?.snippet ?? ''}\nSyntaxError: ${error.message}`;
      throw error;
    }
  }
  if (!stripTypeScriptTypes) {
    throw new Error('TypeScript needs Node.js 22.13 or later, or the package amaro, installed globally in the image;'
      + ` this is Node.js ${process.version} without it`);
  }
  try {
    return stripTypeScriptTypes(code, { mode: 'transform' });
  } catch (error) {
    if (error.code !== 'ERR_INVALID_ARG_VALUE') throw error;
    return stripTypeScriptTypes(code);
  }
}

// The number of the cell that ended last, for the worker to see.
const ended = new Int32Array(new SharedArrayBuffer(4));
let interrupt = () => {};

async function run(code, name) {
  const interrupted = new Promise((_, reject) => {
    interrupt = () => reject(new Error('the code was interrupted'));
  });
  const evaluated = post('Runtime.evaluate', {
    expression: `${code}\n//# sourceURL=${name}`,
    replMode: true,
    awaitPromise: true,
    objectGroup: 'cell',
  }).catch((error) => {
    throw /terminated/.test(error.message) ? new Error('the code was interrupted') : error;
  });
  const answer = await Promise.race([evaluated, interrupted]);
  if (!answer.exceptionDetails) return answer.result;
  const { exception, text } = answer.exceptionDetails;
  throw exception ? await valueOf(exception) : new Error(text);
}

// A new one for each cell: one that has met its end would have nothing for the next.
let stdin;
Object.defineProperty(process, 'stdin', {
  configurable: true,
  enumerable: true,
  get: () => (stdin ??= fs.createReadStream(null, { fd: 0, autoClose: false })),
});

let number = 0;
async function cell(id, rich, dialect, code) {
  let status = 0;
  number += 1;
  stdin = undefined;
  try {
    const source = dialect === 'typescript' ? withoutTypes(code) : code;
    const handle = await run(source, `cell-${number}`);
    if (rich && handle.type !== 'undefined') {
      say('display ' + JSON.stringify({ kind: 'result', data: bundle(await valueOf(handle)) }));
    }
  } catch (error) {
    if (error instanceof Exit) {
      status = error.code;
    } else {
      status = 1;
      const told = failure(error);
      process.stderr.write(told.traceback.join('\n') + '\n');
      if (rich) say('display ' + JSON.stringify({ kind: 'error', ...told }));
    }
  }
  behind = undefined;
  session.post('Runtime.releaseObjectGroup', { objectGroup: 'cell' });
  Atomics.store(ended, 0, Number(id));
  say(`done ${id} ${status}`);
}

// --- Requests ---------------------------------------------------------------------------------

const listener = `
const fs = require('node:fs');
const inspector = require('node:inspector');
const { parentPort, workerData } = require('node:worker_threads');
// How long an idle main thread may take to see that it is interrupted; after that, it is busy.
const BUSY_MS = 50;
const session = new inspector.Session();
session.connectToMainThread();
let current = 0;
function obey(request) {
  if (request[0] === 'cell') current = parseInt(request[1], 10);
  if (request[0] === 'interrupt') {
    const id = current;
    setTimeout(() => {
      if (Atomics.load(workerData, 0) < id) session.post('Runtime.terminateExecution');
    }, BUSY_MS);
    request = ['interrupt', String(id)];
  }
  parentPort.postMessage(request);
}
let waiting = Buffer.alloc(0);
let fields = [];
function hear() {
  const piece = Buffer.alloc(1 << 16);
  fs.read(3, piece, 0, piece.length, null, (error, count) => {
    if (error || count === 0) process.kill(process.pid, 'SIGKILL');
    waiting = Buffer.concat([waiting, piece.subarray(0, count)]);
    for (let end; (end = waiting.indexOf(0)) >= 0; waiting = waiting.subarray(end + 1)) {
      fields.push(waiting.subarray(0, end).toString());
      if (fields.length === 3) obey(fields.splice(0));
    }
    hear();
  });
}
hear();
`;

globalThis.require = createRequire(join(process.cwd(), 'cell.js'));
process.exit = (code = process.exitCode) => { throw new Exit(code ?? 0); };
process.on('SIGINT', () => {});
process.on('uncaughtException', (error) => {
  if (!(error instanceof Exit)) process.stderr.write(failure(error).traceback.join('\n') + '\n');
});

let current = 0;
new Worker(listener, { eval: true, workerData: ended }).on('message', ([word, first, second]) => {
  if (word === 'env') {
    process.env[first] = second;
  } else if (word === 'interrupt') {
    if (Number(first) === current) interrupt();
  } else if (word === 'cell') {
    const [id, mode, dialect] = first.split(' ');
    current = Number(id);
    cell(id, mode === 'rich', dialect, second);
  }
});
