/** The account as a person reads it, or as one JSON object a line. */
import { clean, paint, print, printJson, table } from '../output.ts';
import { type Account, inSeconds, type Line, type Mark } from './account.ts';
import type { Verdict } from './verdict.ts';

export interface Screen {
  intro(speed: number, seed: string): void;
  line(line: Line, account: Account | null): void;
  end(end: End): void;
}

export interface End {
  readonly seed: string;
  readonly seconds: number;
  readonly accounts: readonly Account[];
  readonly verdict: Verdict;
  readonly isBroken: boolean;
  readonly speed: number;
}

type Style = Parameters<typeof paint>[0];

const COLOURS: readonly Style[] = ['cyan', 'magenta', 'yellow'];
const SIGNS: Readonly<Record<Mark, string>> = { clean: '●', kept: '◉', struck: '○' };
const MARKS_SHOWN = 5;
const STYLES: Readonly<Partial<Record<Line['event'], Style>>> = {
  fault: 'red',
  refused: 'red',
  broken: ['red', 'bold'],
  kill: ['red', 'bold'],
  away: 'red',
  gap: 'yellow',
  recovered: 'green',
  restart: 'green',
  back: 'green',
};

export function terminalScreen(): Screen {
  const aliases: string[] = [];
  const name = (account: Account | null): string => {
    if (!account) return paint('bold', 'all'.padEnd(8));
    if (!aliases.includes(account.alias)) aliases.push(account.alias);
    return paint(colourOf(aliases, account.alias), account.alias.padEnd(8));
  };
  return {
    intro,
    line({ at, event, words }, account) {
      const seconds = `${(at / 1000).toFixed(1).padStart(5)} s`;
      const drawn = chainOf(account?.marks ?? []);
      const style = STYLES[event];
      const told = clean(words);
      print(`${paint('dim', seconds)}  ${name(account)}  ${drawn}  ${style ? paint(style, told) : told}`);
    },
    end,
  };
}

const colourOf = (aliases: readonly string[], alias: string): Style =>
  COLOURS[aliases.indexOf(alias) % COLOURS.length] ?? 'bold';

/** The newest exchanges, as links; as wide whether there are many or few. */
function chainOf(marks: readonly Mark[]): string {
  const shown = marks.slice(-MARKS_SHOWN);
  const blank = ' '.repeat((MARKS_SHOWN - shown.length) * 2);
  const lead = marks.length > MARKS_SHOWN ? '┄' : ' ';
  const links = shown.map((mark) => (mark === 'struck' ? paint('red', SIGNS[mark]) : SIGNS[mark]));
  return `${lead}${links.join('─')}${blank}`.slice(0, shown.length === 0 ? MARKS_SHOWN * 2 : undefined);
}

function intro(speed: number, seed: string): void {
  const struck = paint('red', SIGNS.struck);
  print(paint('bold', 'Evergrant demo: three chains, three clients, and what goes wrong on the way'));
  print(`A real server on a temporary folder; an emulated Exact Online at speed ${speed}:`);
  print('one exchange at most every 4 s (there 9.5 min), access tokens of 5 s (10 min).');
  print('People sign in by plain form posts, as browsers send them.');
  print(
    `${SIGNS.clean} exchanged  ${SIGNS.kept} struck, no harm  ${struck} struck, tried again   seed ${clean(seed)}\n`,
  );
}

const sumOf = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);
const errorsOf = ({ errors }: Account) => sumOf(Object.fromEntries(errors));

function end({ accounts, verdict, isBroken, seed, speed, seconds: took }: End): void {
  const aliases = accounts.map(({ alias }) => alias);
  const head = ['chain', 'exchanges', 'faults', 'recovered', 'requests', 'errors', 'no token for', 'broken'];
  const rows = accounts.map((account) => {
    const broken = verdict.broken.includes(account.user) ? 1 : 0;
    const numbers = [account.exchanges, account.faults, account.recovered, account.requests, errorsOf(account)];
    return [
      { words: account.alias, style: colourOf(aliases, account.alias) },
      ...numbers.map((number) => ({ words: String(number) })),
      { words: inSeconds(account.gapMs) },
      { words: String(broken), style: broken ? ('red' as const) : ('green' as const) },
    ];
  });
  print(`\n${table(head, rows)}\n`);
  print(`Errors were ${errorKinds(accounts)}.`);
  print('A lost answer costs access: the next try is allowed only once the spacing of');
  print('Exact Online has passed, and the token in hand ends before. No keeper can');
  print(`shorten that: up to 9 minutes there, ${Math.floor(540 / speed)} s here. The nightly script also asks`);
  print('for tokens that live longer than the one in hand, and is told when to ask again.\n');
  closing(verdict, isBroken, took, seed);
}

function closing(verdict: Verdict, isBroken: boolean, took: number, seed: string): void {
  const { authorizations, exchanges, refusals, faults, callsRefused } = verdict;
  const struck = sumOf(faults);
  print(`By the provider's own ledger, after ${took} s: ${authorizations} sign-ins, ${exchanges} exchanges,`);
  print(
    `${struck} faults of ${Object.keys(faults).length} kinds, ${refusals} refusals; ${sumOf(callsRefused)} dead tokens at the API.`,
  );
  if (!isBroken) print(paint(['green', 'bold'], 'Every chain holds, and nobody had to sign in again. broken: 0'));
  else print(paint(['red', 'bold'], `broken: ${verdict.broken.length}. Again: evergrant demo --seed ${clean(seed)}`));
}

/** `12 server_away, 40 in_doubt`: what the clients were told. */
function errorKinds(accounts: readonly Account[]): string {
  const sums = new Map<string, number>();
  for (const [code, count] of accounts.flatMap(({ errors }) => [...errors]))
    sums.set(code, (sums.get(code) ?? 0) + count);
  const words = [...sums].map(([code, count]) => `${count} ${code}`);
  return words.join(', ') || 'none';
}

/** Events as they come, then one object with `event: "result"`. */
export function jsonScreen(): Screen {
  return {
    intro: (speed, seed) => printJson({ event: 'start', speed, seed }),
    line: (line) => printJson({ ...line, at: line.at / 1000 }),
    end: ({ accounts, verdict, isBroken, seed, seconds: took }) =>
      printJson({
        event: 'result',
        seed,
        seconds: took,
        broken: verdict.broken.length,
        ok: !isBroken,
        chains: accounts.map((account) => ({
          alias: account.alias,
          exchanges: account.exchanges,
          faults: account.faults,
          recovered: account.recovered,
          requests: account.requests,
          errors: Object.fromEntries(account.errors),
          without_token: account.gapMs / 1000,
          longest_without_token: account.longestGapMs / 1000,
          broken: verdict.broken.includes(account.user),
        })),
        ledger: {
          authorizations: verdict.authorizations,
          exchanges: verdict.exchanges,
          refusals: verdict.refusals,
          faults: verdict.faults,
          calls_refused: verdict.callsRefused,
        },
      }),
  };
}
