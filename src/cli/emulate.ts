/** `evergrant emulate PROVIDER`: an upstream authorization server with that provider's rules, until it is stopped. */
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { EvergrantError } from '../core/errors.ts';
import {
  type Emulator,
  type EmulatorOptions,
  emulatedProviders,
  emulator,
  FAULTS,
  type FaultName,
  faultName,
  type Switches,
  settingName,
  settingOf,
} from '../emulator.ts';

interface Flags {
  readonly port: number;
  readonly speed: number;
  readonly seed: string;
  readonly fault?: Readonly<Partial<Record<FaultName, number>>>;
  readonly set?: Partial<Switches>;
  readonly providerFolder?: string;
  readonly redirectUri?: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly json?: boolean;
}

/** Faults of the sign-in pages are asked for through the control address. */
const BY_CHANCE = Object.keys(FAULTS).filter((name) => FAULTS[name as FaultName] !== 'login');

export function emulateCommand(): Command {
  return new Command('emulate')
    .description('Run an upstream authorization server with the rules of a provider, for tests')
    .argument('PROVIDER', 'any provider of the catalogue, truelayer-2019, google-50, or the path of a provider file')
    .option('--port <P>', 'port on 127.0.0.1; 0 is any free one', wholeNumber(0, 65_535), 0)
    .option('--speed <N>', 'divide every duration of the policy by N (1 to 180)', wholeNumber(1, 180), 1)
    .option('--seed <S>', 'same seed and requests, same tokens', '1')
    .option(
      '--fault <NAME=RATE>',
      `a fault by chance at the token endpoint; repeatable. Names: ${BY_CHANCE.join(', ')}`,
      rate,
    )
    .option('--set <NAME=VALUE>', 'a rule of the server, as in leeway=30 or country=be; repeatable', setting)
    .option('--provider-folder <DIR>', 'where the provider file is written; a fresh folder where not given')
    .option('--redirect-uri <URI>', 'a redirect URI of the app; repeatable', collect)
    .option('--tls-cert <FILE>', 'serve https with this certificate (PEM); with --tls-key')
    .option('--tls-key <FILE>', 'the key of the certificate (PEM)')
    .option('--json', 'one line of JSON when ready')
    .addHelpText('after', '\nAny http://127.0.0.1:PORT/callback (or localhost, [::1]) is accepted as redirect URI.')
    .action(run);
}

function wholeNumber(least: number, most: number) {
  return (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It is a whole number from ${least} to ${most}.`);
  };
}

function rate(text: string, before: Flags['fault'] = {}): Flags['fault'] {
  const [, name = '', share = ''] = /^([\w-]+)=([\d.]+)$/.exec(text) ?? [];
  const known = faultName(name);
  const value = Number(share);
  if (known === null || !BY_CHANCE.includes(known) || share === '' || !(value >= 0 && value <= 1)) {
    throw new InvalidArgumentError('It is NAME=RATE, with a name of the list and a rate from 0 to 1.');
  }
  return { ...before, [known]: value };
}

function setting(text: string, before: Flags['set'] = {}): Flags['set'] {
  const switches = settingOf(text);
  if (switches) return { ...before, ...switches };
  throw new InvalidArgumentError('It is NAME=VALUE, as in leeway=30; durations in seconds. See docs/emulator.md.');
}

const collect = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

async function run(provider: string, flags: Flags): Promise<void> {
  const server = await start(provider, flags);
  const file = await writeProviderFile(server, flags.providerFolder);
  process.stdout.write(flags.json ? `${JSON.stringify(ready(server, file))}\n` : readable(provider, server, file));
  if (!flags.json) giveCodesOnEnter(server);
  await untilStopped();
  process.stdin.pause();
  await server.close();
}

async function start(
  provider: string,
  { port, speed, seed, fault = {}, set = {}, redirectUri, tlsCert, tlsKey }: Flags,
): Promise<Emulator> {
  const tls = await tlsOf(tlsCert, tlsKey);
  try {
    const redirectUris = redirectUri === undefined ? {} : { redirectUris: redirectUri };
    return await emulator(provider, { port, speed, seed, faultRates: fault, switches: set, ...redirectUris, ...tls });
  } catch (cause) {
    throw understood(cause, provider, port);
  }
}

async function tlsOf(cert: string | undefined, key: string | undefined): Promise<Pick<EmulatorOptions, 'tls'>> {
  if (cert === undefined && key === undefined) return {};
  const remedy = 'Give both --tls-cert and --tls-key, each the path of a PEM file.';
  if (cert === undefined || key === undefined) throw new EvergrantError('setting', 'TLS needs two files.', { remedy });
  const read = (path: string) =>
    readFile(path, 'utf8').catch((cause: unknown) => {
      throw new EvergrantError('setting', `${path} cannot be read.`, { cause, remedy });
    });
  return { tls: { cert: await read(cert), key: await read(key) } };
}

/** What a person can mend is said with its remedy. */
function understood(cause: unknown, provider: string, port: number): unknown {
  if (cause instanceof RangeError) {
    const [what = '', choice = ''] = asTyped(cause.message).split('; ');
    return new EvergrantError('unknown_provider', `This cannot be emulated: ${what}.`, {
      cause,
      remedy: what.startsWith('no emulator')
        ? `Name one of these, or the path of a provider file: ${emulatedProviders().join(', ')}.`
        : `Choose another; ${choice}.`,
    });
  }
  const code = cause instanceof Error && 'code' in cause ? cause.code : null;
  if (code === 'ENOENT') {
    const remedy = 'Check the path, or name a provider: evergrant providers list.';
    return new EvergrantError('unknown_provider', `There is no file ${provider}.`, { cause, remedy });
  }
  if (code !== 'EADDRINUSE' && code !== 'EACCES') return cause;
  const why = code === 'EADDRINUSE' ? 'is in use' : 'may not be used';
  const remedy = 'Take another --port, or leave it out for a free one.';
  return new EvergrantError('setting', `Port ${port} ${why}.`, { cause, remedy });
}

/** Switches as `--set` spells them: `spacing` for `spacingMs`. */
function asTyped(message: string): string {
  return message.replaceAll(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g, (name) => settingName(name as keyof Switches));
}

async function writeProviderFile(server: Emulator, folder: string | undefined): Promise<string> {
  const target = folder === undefined ? await mkdtemp(join(tmpdir(), 'evergrant-emulator-')) : resolve(folder);
  await mkdir(target, { recursive: true });
  const file = join(target, `${String(server.providerFile.id)}.json`);
  await writeFile(file, `${JSON.stringify(server.providerFile, null, 2)}\n`);
  return file;
}

function ready(server: Emulator, file: string) {
  const { username, password, totpSecret } = server.user;
  return {
    base_url: server.baseUrl,
    provider_file: file,
    client_id: server.clientId,
    client_secret: server.clientSecret,
    redirect_uris: server.redirectUris,
    user: { username, password, totp_secret: totpSecret },
    control_url: server.controlUrl,
    control_key: server.controlKey,
  };
}

function readable(provider: string, server: Emulator, file: string): string {
  const { username, password, totpSecret } = server.user;
  const id = String(server.providerFile.id);
  const folder = resolve(file, '..');
  return `Emulated ${provider} listens at ${server.baseUrl}

  App     client id      ${server.clientId}
          client secret  ${server.clientSecret}
  User    name           ${username}
          password       ${password}
          TOTP secret    ${totpSecret}
  Control address        ${server.controlUrl}
          key            ${server.controlKey}
  Provider file          ${file}

Next, in two other terminals:
  npx evergrant serve --providers ${folder}
  npx evergrant connect ${id} --client-id ${server.clientId} --alias eol
  npx evergrant token eol
The second asks for the client secret and prints a link to sign in. Press Enter here for a verification code
(or use any authenticator app with the TOTP secret). Stop with Ctrl-C.
`;
}

/** A code works once, so each sign-in needs a new one. */
function giveCodesOnEnter(server: Emulator): void {
  if (!process.stdin.isTTY) return;
  process.stdin.on('data', () => process.stdout.write(`Verification code: ${server.control.totpCode()}\n`));
}

function untilStopped(): Promise<void> {
  return new Promise((resolvePromise) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolvePromise());
  });
}
