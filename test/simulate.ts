/**
 * `npm run sim`: the simulation, as `evergrant simulate`. `--nightly` runs ten million exchanges with each policy; `--write`
 * runs every promise alone and writes the table into README.md.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brokenPromises, promiseTable, runPromises } from '../src/simulate.ts';

const ROOT = join(import.meta.dirname, '..');
const NIGHTLY_EXCHANGES = 10_000_000;
/** Of each promise. */
const WRITTEN_EXCHANGES = 150;

export const BEGIN = '<!-- promises: npm run sim -- --write -->';
export const END = '<!-- end of promises -->';

async function writeTable(): Promise<number> {
  const shown = await runPromises(WRITTEN_EXCHANGES);
  const broken = brokenPromises(shown);
  for (const line of broken) console.error(line);
  if (broken.length > 0) return 1;
  const path = join(ROOT, 'README.md');
  const page = readFileSync(path, 'utf8');
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`README.md has no ${BEGIN} … ${END}`);
  writeFileSync(path, `${before}${BEGIN}\n\n${promiseTable(shown)}\n\n${END}${after}`);
  return 0;
}

function runSimulation(words: readonly string[]): number {
  const more = words.includes('--nightly') ? ['--exchanges', String(NIGHTLY_EXCHANGES)] : [];
  const command = [join(ROOT, 'src/cli/main.ts'), 'simulate', ...more, ...words.filter((one) => one !== '--nightly')];
  return spawnSync(process.execPath, command, { stdio: 'inherit' }).status ?? 1;
}

if (import.meta.main) {
  const words = process.argv.slice(2);
  process.exitCode = words.includes('--write') ? await writeTable() : runSimulation(words);
}
