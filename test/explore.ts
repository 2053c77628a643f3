/**
 * `npm run explore`: walks through every state that two nodes, a store, two journals and a provider of each class can
 * get into by up to two faults, and judges each. `-- --nightly`: three faults. `-- --class NAME` takes one class alone.
 * `-- --compare` walks each way a second time, with nothing left out, and those of keepers that deviate, and says whether
 * both found the same.
 */
import { parseArgs } from 'node:util';
import { type Explored, explore } from '../src/sim/explorer/explore.ts';
import { MUTANTS } from '../src/sim/explorer/moves.ts';
import { type Journey, nameOf, outcome, plan, travel } from '../src/sim/explorer/plan.ts';
import { systemClock } from '../src/world/system-clock.ts';

/** More than fit into memory; a search that stops here says so. */
const MOST_STATES = 100_000_000;

function main(words: readonly string[]): number {
  const options = {
    nightly: { type: 'boolean', default: false },
    compare: { type: 'boolean', default: false },
    class: { type: 'string' },
  } as const;
  const { values } = parseArgs({ args: [...words], options });
  const journeys = plan(values.nightly).filter(({ subject }) => !values.class || subject.name.startsWith(values.class));
  console.log(
    '| class | faults | states | moves | states/s | broken after | findings |\n|---|---|---|---|---|---|---|',
  );
  let findings = 0;
  for (const journey of journeys) {
    const startedAt = systemClock.now();
    const explored = travel(journey, { mostStates: MOST_STATES });
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
    if (values.compare) findings += compared(journey);
  }
  return findings === 0 ? 0 : 1;
}

/** How many walks of a journey found something else with nothing left out. */
function compared(journey: Journey): number {
  const { subject, isTimely, mostRounds } = journey;
  let different = 0;
  const compare = (name: string, walk: (isWhole: boolean) => Explored): void => {
    const [less, whole] = [walk(false), walk(true)];
    const isSame = outcome(less) === outcome(whole);
    if (!isSame) different++;
    const said = isSame ? 'the same' : `${outcome(whole)} INSTEAD OF ${outcome(less)}`;
    console.log(`|   ${name}: ${said} | | ${less.states} of ${whole.states} | ${less.moves} of ${whole.moves} | | | |`);
  };
  compare('with nothing left out', (isWhole) => travel(journey, { mostStates: MOST_STATES, isWhole }));
  for (const mutant of MUTANTS) {
    const rules = { mostFaults: 1, mostRounds, isTimely, mutant };
    const limits = { mostStates: MOST_STATES, stopsAtFinding: false };
    compare(`one that ${mutant}, 1 fault`, (isWhole) => explore(subject, { ...rules, isWhole }, limits));
  }
  return different;
}

process.exitCode = main(process.argv.slice(2));
