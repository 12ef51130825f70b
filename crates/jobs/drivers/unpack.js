// Unpacks packages of npm: `unpack workspace (folder path)…`. The gate has checked what they are.
//
// A package that runs something when it is installed ends it, and so does what it doesn't know: then
// npm does it, in a workspace as it was before.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');
const zlib = require('zlib');

const AT_A_TIME = 8;
const SCRIPTS = ['preinstall', 'install', 'postinstall'];

const [workspace, ...rest] = process.argv.slice(1);
const root = path.join(workspace, 'node_modules');
const places = [];
for (let index = 0; index + 1 < rest.length; index += 2) {
  places.push({ folder: path.join(workspace, rest[index]), tarball: rest[index + 1] });
}

function fetched(tarball) {
  return new Promise((done, failed) => {
    const asked = { host: '127.0.0.1', port: 11434, path: tarball, agent: false, timeout: 60000 };
    const request = http.get(asked, (answer) => {
      if (answer.statusCode !== 200) failed(new Error(`${tarball}: ${answer.statusCode}`));
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('error', failed);
      answer.on('end', () => done(Buffer.concat(pieces)));
    });
    request.on('timeout', () => request.destroy(new Error(`${tarball}: no answer`)));
    request.on('error', failed);
  });
}

function text(bytes) {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

// Where a file goes, by a header that says it at length. What else such a header may change is beyond
// this.
function longName(bytes) {
  let name = null;
  for (let at = 0; at < bytes.length; ) {
    const length = parseInt(bytes.toString('latin1', at, at + 12), 10);
    const field = bytes.toString('utf8', at, at + length - 1).match(/^\d+ ([^=]+)=([^]*)$/);
    if (!(length > 0) || field === null) throw new Error('a header of a tarball is broken');
    if (['size', 'linkpath'].includes(field[1])) throw new Error('a tarball is of another kind');
    if (field[1] === 'path') name = field[2];
    at += length;
  }
  return name;
}

// The files of a tarball, beneath the one folder that it has.
function* files(tar) {
  let long = null;
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const head = tar.subarray(at, at + 512);
    const size = parseInt(text(head.subarray(124, 136)).trim() || '0', 8);
    const kind = String.fromCharCode(head[156] || 0x30);
    if (!(size >= 0) || at + 512 + size > tar.length) throw new Error('a tarball is broken');
    const data = tar.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
    if (kind === 'x') {
      long = longName(data);
      continue;
    }
    if (kind === 'L') {
      long = text(data);
      continue;
    }
    if (kind === '5' || (kind === 'g' && longName(data) === null)) continue;
    // A file by another name, or none that npm would make.
    if (kind !== '0') throw new Error('a tarball has more than files');
    const prefix = head.toString('latin1', 257, 262) === 'ustar' ? text(head.subarray(345, 500)) : '';
    const name = text(head.subarray(0, 100));
    const parts = (long ?? (prefix ? `${prefix}/${name}` : name)).split('/').slice(1);
    long = null;
    if (parts.length === 0 || parts.some((part) => part === '' || part === '.' || part === '..')) {
      throw new Error('a tarball has a file beyond its folder');
    }
    // What it brings along could run something, too.
    if (parts.includes('node_modules')) throw new Error('a tarball has packages of its own');
    const mode = parseInt(text(head.subarray(100, 108)).trim() || '0', 8);
    yield { parts, data, mode: mode & 0o100 ? 0o755 : 0o644 };
  }
}

function link(folder, manifest) {
  const bins = typeof manifest.bin === 'string' ? { [manifest.name]: manifest.bin } : manifest.bin ?? {};
  const scoped = path.basename(path.dirname(folder)).startsWith('@');
  const beside = path.join(scoped ? path.dirname(path.dirname(folder)) : path.dirname(folder), '.bin');
  for (const [name, bin] of Object.entries(bins)) {
    const to = path.join(folder, path.join('/', bin));
    const from = path.join(beside, path.basename(name));
    if (!fs.existsSync(to) || fs.existsSync(from)) continue;
    fs.mkdirSync(beside, { recursive: true });
    fs.chmodSync(to, 0o755);
    fs.symlinkSync(path.relative(beside, to), from);
  }
}

function unpack(folder, tar) {
  let manifest = null;
  const made = new Set();
  for (const { parts, data, mode } of files(tar)) {
    if (parts.length === 1 && parts[0] === 'binding.gyp') throw new Error('a package is compiled');
    if (parts.length === 1 && parts[0] === 'package.json') manifest = JSON.parse(data.toString('utf8'));
    const file = path.join(folder, ...parts);
    const beneath = path.dirname(file);
    if (!made.has(beneath)) fs.mkdirSync(beneath, { recursive: true });
    made.add(beneath);
    fs.writeFileSync(file, data, { mode });
  }
  if (manifest === null) throw new Error('a package says nothing of itself');
  if (SCRIPTS.some((script) => manifest.scripts?.[script])) throw new Error('a package has a script');
  return manifest;
}

async function main() {
  const tarballs = [...new Set(places.map(({ tarball }) => tarball))];
  const bodies = new Map();
  const fetching = async () => {
    for (let tarball; (tarball = tarballs.pop()) !== undefined; ) {
      bodies.set(tarball, await fetched(tarball));
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, fetching));
  const linked = [];
  for (const { folder, tarball } of places) {
    linked.push([folder, unpack(folder, zlib.gunzipSync(bodies.get(tarball)))]);
  }
  for (const [folder, manifest] of linked) link(folder, manifest);
}

if (fs.existsSync(root)) {
  console.error('there are packages already');
  process.exitCode = 1;
} else {
  main().catch((error) => {
    console.error(error.message);
    fs.rmSync(root, { recursive: true, force: true });
    process.exitCode = 1;
  });
}
