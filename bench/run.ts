/**
 * `npm run bench`: how fast, how large, how soon. Speed is told as a ratio to a bare server in the same run, for the
 * machine is never the same. Nothing fails because it is slow. `--json` prints one object; `--write` makes
 * docs/bench.md of this run; `--million` also measures what a million grants cost, in some minutes and gigabytes;
 * `--workers` also clients at two workers.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, loadavg, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { clientSpeed } from './clients.ts';
import { type ExchangeSpeed, exchangeSpeed, exchangeTable } from './exchanges.ts';
import { type Crowd, crowds, crowdTable } from './million.ts';
import { proxySpeed, sdkCall } from './proxy.ts';
import { type RotationSpeed, rotationSpeed, rotationTable } from './emulator.ts';
import { type ColdStart, coldStart, CROWD, type Memory, memoryAtRest, type Speed, tokenSpeed } from './measure.ts';

/** Other work on the machine; the bench alone adds about 2. */
const LOAD_BEFORE = loadavg()[0] ?? 0;
/** Per processor; beyond it a ratio says more about the neighbours than about us. */
const MOST_LOAD = 0.5;
const ROOT = join(import.meta.dirname, '..');

interface Report {
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  readonly machine: string;
  readonly node: string;
  readonly speed: Speed;
  /** The same with many grants in turns. */
  readonly speedOfMany: Speed;
  readonly clients: Speed;
  /** With two processes; null where nobody asked for it. */
  readonly clientsOfTwo: Speed | null;
  readonly proxy: Speed;
  /** Nanoseconds. */
  readonly sdkCall: number;
  readonly memory: Memory;
  readonly coldStart: ColdStart;
  readonly rotations: readonly RotationSpeed[];
  readonly exchanges: readonly ExchangeSpeed[];
  /** Empty where nobody asked for it. */
  readonly crowds: readonly Crowd[];
}

async function main(words: readonly string[]): Promise<void> {
  const report = await measure(words);
  console.log(words.includes('--json') ? JSON.stringify(report) : tableOf(report));
  if (!words.includes('--write')) return;
  if (LOAD_BEFORE < cpus().length * MOST_LOAD) writeFileSync(join(ROOT, 'docs/bench.md'), pageOf(report));
  else console.error('docs/bench.md was not written: the machine was busy with something else.');
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

/** Name and figure of every line, for both forms. */
function rowsOf({
  speed,
  speedOfMany,
  clients,
  clientsOfTwo,
  proxy,
  sdkCall: sdk,
  memory,
  coldStart: cold,
}: Report): readonly (readonly [string, string])[] {
  const { evergrant, baseline, ratio, ratios, cpuRatio, connections, rounds, roundSeconds } = speed;
  const spread = `${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)}`;
  const how = `${connections} keep-alive connections, median of ${rounds} interleaved rounds of ${roundSeconds} s`;
  return [
    ['Token read, living token: requests a second', `${Math.round(evergrant.perSecond)} (${how})`],
    ['Bare node:http with the same bytes', `${Math.round(baseline.perSecond)}`],
    ['Ratio', `${ratio.toFixed(2)} (aim: 0.70 or more; rounds from ${spread})`],
    [
      'Processor time a request',
      `${evergrant.cpu.toFixed(0)} µs, bare ${baseline.cpu.toFixed(0)} µs: ratio ${cpuRatio.toFixed(2)}`,
    ],
    ['p99 of both', `${evergrant.p99} ms, bare ${baseline.p99} ms`],
    ...sideRows(`Token reads of ${CROWD} grants in turns: requests a second`, 'bare node:http', 0.7, speedOfMany),
    ...sideRows('Client with a durable refresh token: requests a second', 'bare node:http', 0.5, clients),
    ...(clientsOfTwo ? sideRows('The same with 2 workers', 'bare node:http', 0.5, clientsOfTwo) : []),
    ...sideRows('Proxy, small GET: requests a second', 'bare reverse proxy in Node', 0.8, proxy),
    ['SDK, `await accessToken()` from memory', `${sdk.toFixed(0)} ns (aim: below 1000)`],
    ['Memory at rest, after start', `${memory.afterStart.toFixed(0)} MB (aim: below 120)`],
    ['Memory at rest, 1 grant', `${memory.oneGrant.toFixed(0)} MB`],
    [`Memory at rest, ${memory.many} grants, just imported`, `${memory.manyGrants.toFixed(0)} MB`],
    ['`evergrant token`, start to end', `${cold.token.toFixed(0)} ms (median of ${cold.starts}; aim: below 150)`],
    ['`node -e 0`, start to end', `${cold.emptyNode.toFixed(0)} ms`],
    [
      'Processor time of a start',
      `\`evergrant token\` ${cold.tokenCpu.toFixed(0)} ms, \`node -e 0\` ${cold.emptyNodeCpu.toFixed(0)} ms: ${(cold.tokenCpu / cold.emptyNodeCpu).toFixed(2)} times as much`,
    ],
  ];
}

/** One speed beside that of a bare server, and the ratio that is aimed at. */
function sideRows(
  what: string,
  bare: string,
  aim: number,
  { evergrant, baseline, ratio, ratios, cpuRatio }: Speed,
): readonly (readonly [string, string])[] {
  const spread = `${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)}`;
  return [
    [what, `${Math.round(evergrant.perSecond)}, ${bare} ${Math.round(baseline.perSecond)}`],
    [
      'Ratio',
      `${ratio.toFixed(2)} (aim: ${aim.toFixed(2)} or more; rounds from ${spread}); by processor time ${cpuRatio.toFixed(2)}`,
    ],
    ['p99 of both', `${evergrant.p99} ms, bare ${baseline.p99} ms`],
  ];
}

function tableOf(report: Report): string {
  const rows = rowsOf(report);
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, figure]) => `${name.padEnd(width)}  ${figure}`);
  const tables = [rotationTable(report.rotations), exchangeTable(report.exchanges)];
  if (report.crowds.length > 0) tables.push(crowdTable(report.crowds));
  return [...lines, ...tables.flatMap((table) => ['', table]), '', `${report.machine}; Node ${report.node}`].join('\n');
}

function pageOf(report: Report): string {
  const { machine: where, node, date, commit, command } = report;
  const rows = rowsOf(report).map(([name, figure]) => `| ${name} | ${figure} |`);
  return `<!-- Made by \`npm run bench -- --write\`: no figure in here was typed. -->

# Speed and size

Compare the ratio, not the requests a second: both servers ran in turns on the same machine, with the load generator
beside them. The bare server is \`node:http\` that answers every request with the very bytes of Evergrant's answer.
Memory is that of a start whose code is compiled already, as \`npm install\` leaves it.

| what | figure |
|---|---|
${rows.join('\n')}

## Rotations at the emulator's token endpoint

Beside a bare \`node:http\` server that reads a form and answers JSON, and \`oidc-provider\` with its memory store; the aim
is a ratio of 0.5.

${rotationTable(report.rotations)}

## Cold exchanges

Chains that are exchanged at the emulator, which answers at once, 256 at a time; beside a plain loop that posts on a fresh
connection and commits the answer with one fsync, one after the other. Evergrant keeps each answer twice (journal and
store), reads both back, and publishes only then; those that are under way together share their fsyncs. The aim is at
most 0.1 of them an exchange, and a ratio of 1.0, or of 1.5 where a commit takes a millisecond.

${exchangeTable(report.exchanges)}
${crowdSection(report)}
- Machine: ${where}
- Node: ${node}
- Date: ${date}, commit ${commit}
- Command: \`${command}\`
`;
}

function crowdSection({ crowds: measured }: Report): string {
  if (measured.length === 0) return '';
  return `
## A million grants

None of them in use. The aim is a start within 10 s, less than 250 MB, and looks that cost the same for all numbers.

${crowdTable(measured)}
`;
}

await main(process.argv.slice(2));
