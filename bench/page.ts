/**
 * A run of the bench as text: a table for a terminal, and blocks for docs/bench.md. What a line means is written there by
 * hand; every figure stands between two markers and comes from a run.
 */
import { type RotationSpeed, rotationTable } from './emulator.ts';
import { type ExchangeSpeed, exchangeTable } from './exchanges.ts';
import { CROWD, type ColdStart, type Memory, type Speed } from './measure.ts';
import { type Crowd, crowdTable } from './million.ts';

export interface Report {
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

/** The blocks of docs/bench.md, by name. */
export const BLOCKS = ['speed', 'rotations', 'exchanges', 'million'] as const;
type Block = (typeof BLOCKS)[number];

/** The page with the figures of this run; a block that it did not measure stays as it is. Throws where one is missing. */
export function written(page: string, report: Report): string {
  const { rotations, exchanges, crowds } = report;
  const table = [
    '| what | figure |',
    '|---|---|',
    ...rowsOf(report).map(([name, figure]) => `| ${name} | ${figure} |`),
  ];
  const measured: readonly (readonly [Block, string])[] = [
    ['speed', table.join('\n')],
    ['rotations', rotationTable(rotations)],
    ['exchanges', exchangeTable(exchanges)],
    ...(crowds.length > 0 ? [['million', crowdTable(crowds)] as const] : []),
  ];
  return measured.reduce((text, [name, body]) => withBlock(text, name, `${body}\n\n${whereOf(report)}`), page);
}

function withBlock(page: string, name: Block, body: string): string {
  const [begin, end] = markersOf(name);
  const [before, rest, ...more] = page.split(begin);
  const after = rest?.split(end)[1];
  if (after === undefined || more.length > 0) throw new Error(`docs/bench.md has no block "${name}".`);
  return `${before}${begin}\n\n${body}\n\n${end}${after}`;
}

export function markersOf(name: Block): readonly [begin: string, end: string] {
  return [`<!-- ${name}: npm run bench -- --write -->`, `<!-- end of ${name} -->`];
}

/** A block tells by itself where and when it was measured: not all are measured together. */
function whereOf({ machine, node, date, commit, command }: Report): string {
  return `${date.slice(0, 10)}, commit ${commit}, \`${command}\`; ${machine}; Node ${node}.`;
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

export function tableOf(report: Report): string {
  const rows = rowsOf(report);
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, figure]) => `${name.padEnd(width)}  ${figure}`);
  const tables = [rotationTable(report.rotations), exchangeTable(report.exchanges)];
  if (report.crowds.length > 0) tables.push(crowdTable(report.crowds));
  return [...lines, ...tables.flatMap((table) => ['', table]), '', `${report.machine}; Node ${report.node}`].join('\n');
}
