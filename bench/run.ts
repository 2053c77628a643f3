/**
 * `npm run bench`: how fast, how large, how soon. Speed is told as a ratio to a bare server in the same run, for the
 * machine is never the same. Nothing fails because it is slow. `--json` prints one object; `--write` puts the
 * figures into docs/bench.md; `--million` also measures what a million grants cost, in some minutes and gigabytes;
 * `--workers` also clients at two workers.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { clientSpeed } from './clients.ts';
import { rotationSpeed } from './emulator.ts';
import { exchangeSpeed } from './exchanges.ts';
import { coldStart, CROWD, memoryAtRest, tokenSpeed } from './measure.ts';
import { crowds } from './million.ts';
import { type Report, tableOf, written } from './page.ts';
import { proxySpeed, sdkCall } from './proxy.ts';

/** Other work on the machine; the bench alone adds about 2. */
const LOAD_BEFORE = loadavg()[0] ?? 0;
/** Per processor; beyond it a ratio says more about the neighbours than about us. */
const MOST_LOAD = 0.5;
const ROOT = join(import.meta.dirname, '..');
const PAGE = join(ROOT, 'docs/bench.md');

async function main(words: readonly string[]): Promise<void> {
  const isWritten = words.includes('--write');
  if (isWritten && LOAD_BEFORE >= cpus().length * MOST_LOAD) {
    console.error(
      'The machine is busy with something else: what is measured now would not be written to docs/bench.md.',
    );
    process.exitCode = 1;
    return;
  }
  const report = await measure(words);
  console.log(words.includes('--json') ? JSON.stringify(report) : tableOf(report));
  if (isWritten) writeFileSync(PAGE, written(readFileSync(PAGE, 'utf8'), report));
}

async function measure(words: readonly string[]): Promise<Report> {
  const say = (what: string): void => console.error(`… ${what}`);
  say('token reads, about a minute');
  const speed = await tokenSpeed(1);
  say(`token reads of ${CROWD} grants, about two minutes`);
  const speedOfMany = await tokenSpeed(CROWD);
  say('clients at the token endpoint, about a minute');
  const clients = await clientSpeed();
  if (words.includes('--workers')) say('clients at two workers, about a minute');
  const clientsOfTwo = words.includes('--workers') ? await clientSpeed(2) : null;
  say('the proxy, about a minute');
  const proxy = await proxySpeed();
  const sdk = await sdkCall();
  say('memory at rest, half a minute');
  const memory = await memoryAtRest();
  say('cold starts');
  const cold = await coldStart();
  say('cold exchanges, a minute');
  const exchanges = await exchangeSpeed();
  const measured = words.includes('--million') ? await crowds(say) : [];
  say('rotations at the emulator, two minutes');
  return {
    date: new Date().toISOString(),
    command: ['npm run bench', ...(words.length > 0 ? ['--', ...words] : [])].join(' '),
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim(),
    machine: machine(),
    node: process.version,
    speed,
    speedOfMany,
    clients,
    clientsOfTwo,
    proxy,
    sdkCall: sdk,
    memory,
    coldStart: cold,
    rotations: await rotationSpeed(),
    exchanges,
    crowds: measured,
  };
}

function machine(): string {
  const [first] = cpus();
  const gigabytes = Math.round(totalmem() / 1e9);
  return `${cpus().length} × ${first?.model.trim() ?? 'unknown CPU'}, ${gigabytes} GB, ${platform()} ${release()}; load before ${LOAD_BEFORE.toFixed(1)}`;
}

await main(process.argv.slice(2));
