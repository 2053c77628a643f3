/**
 * `evergrant demo`: in about a minute, what a keeper of grants is for. A real server, an emulated Exact Online in fast
 * time, three grants, three clients, and faults; nothing else is needed, and nothing is left behind.
 */
import { Command } from 'commander';
import { pause } from '../client/time.ts';
import { Accounts } from './demo/account.ts';
import { type Client, runClient, type Target, USUAL_MIN_TTL } from './demo/clients.ts';
import { Director } from './demo/director.ts';
import { authorize } from './demo/person.ts';
import { jsonScreen, type Screen, terminalScreen } from './demo/screen.ts';
import { KINDS, scripts } from './demo/script.ts';
import { type Stage, setStage } from './demo/stage.ts';
import { judge } from './demo/verdict.ts';
import { text } from './json.ts';
import { usageError } from './problem.ts';

interface Flags {
  readonly seed: string;
  readonly json?: boolean;
}

const PEOPLE = [
  { alias: 'bakery', username: 'emma.devries@example.com', fullName: 'Emma de Vries' },
  { alias: 'florist', username: 'noah.bakker@example.com', fullName: 'Noah Bakker' },
  { alias: 'garage', username: 'lena.visser@example.com', fullName: 'Lena Visser' },
];
const CLIENTS = [
  { name: 'Power BI', everyMs: 400, minTtl: USUAL_MIN_TTL },
  // Its work takes longer, so it wants tokens that do.
  { name: 'nightly script', everyMs: 300, minTtl: 96 },
  { name: 'webshop', everyMs: 250, minTtl: USUAL_MIN_TTL },
];
/** When the provider goes away, roughly in the middle. */
const OUTAGE_AT_MS = 20_000;
/** One more exchange of each chain, without any fault. */
const FINALE_MS = 8_000;
const INTERRUPTED = 130;

export function command(): Command {
  return new Command('demo')
    .description('Server, emulated Exact Online, clients and faults, in fast time; takes about a minute')
    .option('--seed <S>', 'the same order of faults again', '1')
    .addHelpText('after', `\nFaults: ${KINDS.join(', ')}; kill -9 of the server; provider away.`)
    .action(run);
}

async function run({ seed, json }: Flags): Promise<void> {
  if (!/^[\w.-]{1,64}$/.test(seed))
    throw usageError('A seed is made of letters, digits, dots and dashes.', 'Try: --seed 1');
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    const screen = json ? jsonScreen() : terminalScreen();
    const isWhole = await play(screen, seed, stop.signal);
    process.exitCode = isWhole ? 0 : 1;
  } catch (error) {
    // Ctrl-C reaches the server as well: what ends badly then is no news.
    if (!stop.signal.aborted) throw error;
  } finally {
    if (stop.signal.aborted) process.exitCode = INTERRUPTED;
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

/** From the first sign-in to the verdict; whether every chain holds. */
async function play(screen: Screen, seed: string, stop: AbortSignal): Promise<boolean> {
  await using stage = await setStage(seed);
  screen.intro(stage.speed, seed);
  const accounts = new Accounts(stage.provider, (line, account) => screen.line(line, account));
  const targets = await connectAll(stage, accounts);
  const clients = await Promise.all(CLIENTS.map((client) => withKey(stage, client)));
  const over = new AbortController();
  const either = AbortSignal.any([stop, over.signal]);
  const running = Promise.all(clients.map((client) => runClient(stage, accounts, client, targets, either)));
  try {
    // A client that trips over something ends the demo.
    await Promise.race([running, direct(stage, accounts, targets, seed, either)]);
  } finally {
    over.abort();
  }
  await running;
  if (stop.aborted) return false;
  const verdict = judge(
    stage.provider,
    targets.map(({ user }) => user),
  );
  const isBroken = verdict.broken.length > 0;
  const seconds = Math.round(accounts.elapsedMs / 1000);
  screen.end({ seed, seconds, accounts: accounts.all(), verdict, isBroken, speed: stage.speed });
  return !isBroken;
}

/** All faults, then a little while without any. */
async function direct(
  stage: Stage,
  accounts: Accounts,
  targets: readonly Target[],
  seed: string,
  stop: AbortSignal,
): Promise<void> {
  const director = new Director(stage, accounts, stop);
  const outage = (async () => {
    await untilOrStopped(OUTAGE_AT_MS, stop);
    if (!stop.aborted) await director.outage();
  })();
  const plays = scripts(targets.length, seed).map(async (script, i) => {
    const target = targets[i];
    if (target) await director.play(target, script);
  });
  await Promise.all([outage, ...plays]);
  await untilOrStopped(FINALE_MS, stop);
}

async function untilOrStopped(ms: number, stop: AbortSignal): Promise<void> {
  for (let left = ms; left > 0 && !stop.aborted; left -= 100) await pause(100);
}

/** Three grants of one app, each authorized by its own person. */
async function connectAll(stage: Stage, accounts: Accounts): Promise<readonly Target[]> {
  const { clientId, clientSecret, control, providerFile } = stage.provider;
  const wish = { provider: String(providerFile.id), client_id: clientId, client_secret: clientSecret };
  const app = text(await stage.api('POST', '/v1/apps', wish), 'id');
  const known = control.defaultUser();
  return Promise.all(
    PEOPLE.map(async ({ alias, username, fullName }) => {
      const person = known.username === username ? known : control.addUser({ username, fullName });
      accounts.add(alias, username);
      const grant = await stage.api('POST', '/v1/grants', { app, alias, owner: fullName });
      await authorize(text(grant, 'authorization_url'), person, stage.provider);
      accounts.look();
      return { alias, user: username };
    }),
  );
}

async function withKey(stage: Stage, client: Omit<Client, 'key'>): Promise<Client> {
  const key = text(await stage.api('POST', '/v1/api-keys', { name: client.name, scopes: ['token'] }), 'key');
  return { ...client, key };
}
