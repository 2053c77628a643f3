// Runs after `npm install` in a clone: puts the command into node_modules/.bin, so that `npx evergrant` finds it there
// at once, without asking to install anything and without the network. Parses under old Nodes; harmless elsewhere.
import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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
