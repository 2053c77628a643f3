#!/usr/bin/env node
// Finds a Node new enough for Evergrant (24 or later), then runs the command line. In a clone that is the Node which
// `npm install` put into node_modules; this file alone must therefore parse under old Nodes.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const WANTED_MAJOR = 24;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const isNewEnough = Number(process.versions.node.split('.')[0]) >= WANTED_MAJOR;
const built = here('../dist/cli/main.js');
const main = existsSync(built) ? built : here('../src/cli/main.ts');

if (isNewEnough) {
  await import(main);
} else {
  runWithOwnNode();
}

function runWithOwnNode() {
  const own = here(`../node_modules/node-${process.platform.replace('win32', 'win')}-${process.arch}/bin/node`);
  if (!existsSync(own)) {
    console.error(`evergrant: needs Node.js ${WANTED_MAJOR} or newer (found ${process.version}).`);
    console.error('Remedy: run `npm install` in the clone, or: npx -p node@24 -p evergrant evergrant …');
    process.exit(78);
  }
  const child = spawn(own, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  const forward = (signal) => child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, forward);
  child.on('exit', (code, signal) => {
    if (signal) {
      for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeListener(name, forward);
      process.kill(process.pid, signal);
    } else process.exit(code ?? 1);
  });
}
