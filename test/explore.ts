/**
 * `npm run explore`: walks through every state that two nodes, a store, two journals and a provider of each class can
 * get into by up to two faults, and judges each. `-- --nightly`: three faults. `-- --class NAME` takes one class alone.
 */
import { parseArgs } from 'node:util';
import { nameOf, plan, travel } from '../src/sim/explorer/plan.ts';
import { systemClock } from '../src/world/system-clock.ts';

/** More than fit into memory; a search that stops here says so. */
const MOST_STATES = 40_000_000;

function main(words: readonly string[]): number {
  const options = { nightly: { type: 'boolean', default: false }, class: { type: 'string' } } as const;
  const { values } = parseArgs({ args: [...words], options });
  const journeys = plan(values.nightly).filter(({ subject }) => !values.class || subject.name.startsWith(values.class));
  console.log(
    '| class | faults | states | moves | states/s | broken after | findings |\n|---|---|---|---|---|---|---|',
  );
  let findings = 0;
  for (const journey of journeys) {
    const startedAt = systemClock.now();
    const explored = travel(journey, MOST_STATES);
    const seconds = Math.max(0.001, (systemClock.now() - startedAt) / 1_000);
    const cells = [
      nameOf(journey),
      journey.mostFaults,
      `${explored.states}${explored.isCut ? ', cut' : ''}`,
      explored.moves,
      Math.round(explored.states / seconds),
      explored.faultsToBreak === null ? 'never' : `${explored.faultsToBreak} faults`,
      explored.findings.size,
    ];
    console.log(`| ${cells.join(' | ')} |`);
    for (const [judge, moves] of explored.findings) console.log(`\n${judge}:\n  ${moves.join('\n  ')}\n`);
    findings += explored.findings.size + (explored.isCut ? 1 : 0);
  }
  return findings === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
