// Runs after `npm install` in a clone: puts the command into node_modules/.bin, so that `npx evergrant` finds it there
// at once, without asking to install anything and without the network; and compiles the server once. Parses under old
// Nodes; harmless elsewhere.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../node_modules/.bin/', import.meta.url));
const link = `${bin}evergrant`;

if (existsSync(fileURLToPath(new URL('../node_modules', import.meta.url)))) {
  mkdirSync(bin, { recursive: true });
  rmSync(link, { force: true });
  if (process.platform === 'win32') {
    writeFileSync(`${link}.cmd`, '@node "%~dp0..\\..\\bin\\evergrant.js" %*\r\n');
  } else {
    symlinkSync('../../bin/evergrant.js', link);
    chmodSync(fileURLToPath(new URL('../bin/evergrant.js', import.meta.url)), 0o755);
  }
}

warm();

/**
 * Starts the server once in a folder that goes away, without a socket, so that what it compiles lies in the cache that
 * `bin/evergrant.js` reads: the first start is as quick and as small as later ones. An install never fails for it.
 */
function warm() {
  if (Number(process.versions.node.split('.')[0]) < 24) return;
  const data = mkdtempSync(join(tmpdir(), 'evergrant-'));
  const command = fileURLToPath(new URL('../bin/evergrant.js', import.meta.url));
  for (const words of [
    ['serve', '--help'],
    ['grants', 'list', '--data', data, '--listen', '127.0.0.1:0'],
  ]) {
    spawnSync(process.execPath, [command, ...words], { stdio: 'ignore', timeout: 30_000 });
  }
  rmSync(data, { recursive: true, force: true });
}
