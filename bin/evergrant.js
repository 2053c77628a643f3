#!/usr/bin/env node
// Finds a Node new enough for Evergrant (24 or later), then runs the command line. In a clone that is the Node which
// `npm install` put into node_modules; this file alone must therefore parse under old Nodes.

// Imported as modules, they would bring all of their members with them.
const { existsSync } = process.getBuiltinModule?.('node:fs') ?? (await import('node:fs'));
const { fileURLToPath } = process.getBuiltinModule?.('node:url') ?? (await import('node:url'));
const WANTED_MAJOR = 24;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const here = (path) => new URL(path, import.meta.url);
const isNewEnough = Number(process.versions.node.split('.')[0]) >= WANTED_MAJOR;
const built = here('../dist/cli/main.js');
const main = existsSync(built) ? built : here('../src/cli/main.ts');

if (isNewEnough) {
  // Compiled code is kept beside the code itself, where nobody may write who may not change that as well (the default
  // is a folder in /tmp): a start takes less time, and the server less memory. Where it cannot be kept, nothing changes.
  process.getBuiltinModule('node:module').enableCompileCache?.(fileURLToPath(here('../node_modules/.cache/evergrant')));
  await import(main.href);
} else {
  await runWithOwnNode();
}

async function runWithOwnNode() {
  const { spawn } = await import('node:child_process');
  const isWindows = process.platform === 'win32';
  const folder = `../node_modules/node-${isWindows ? 'win' : process.platform}-${process.arch}/bin/`;
  const own = fileURLToPath(here(folder + (isWindows ? 'node.exe' : 'node')));
  if (!existsSync(own)) {
    console.error(`evergrant: needs Node.js ${WANTED_MAJOR} or newer (found ${process.version}).`);
    console.error('Remedy: run `npm install` in the clone, or: npx -p node@24 -p evergrant evergrant …');
    process.exit(78);
  }
  const child = spawn(own, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal sends Ctrl-C to both processes; the other one knows the same signal twice in a moment from a second one.
  const forward = (signal) => child.kill(signal);
  for (const signal of SIGNALS) process.on(signal, forward);
  child.on('error', (error) => {
    console.error(`evergrant: ${own} does not start (${error.code}).`);
    console.error('Remedy: remove node_modules and run `npm install` again.');
    process.exit(78);
  });
  child.on('exit', (code, signal) => {
    if (!signal) process.exit(code ?? 1);
    for (const name of SIGNALS) process.removeListener(name, forward);
    process.kill(process.pid, signal);
  });
}
