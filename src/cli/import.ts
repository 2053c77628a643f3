/** `evergrant import`: grants whose refresh tokens were obtained elsewhere, one JSON object a line. */
import { closeSync, createReadStream, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { text as readText } from 'node:stream/consumers';
import { type Command, Option } from 'commander';
import { now } from '../client/time.ts';
import { type Api, items, withApi } from './api.ts';
import { didYouMean } from './did-you-mean.ts';
import { asObject, type Json, text } from './json.ts';
import { lineOf, nangoConnections } from './nango.ts';
import { apiCommand, collectPairs } from './options.ts';
import { clean, print, printJson, say } from './output.ts';
import { type Problem, problemOf, usageError } from './problem.ts';
import { passphrase } from './prompt.ts';
import { isSealed, openText } from './sealed-file.ts';

interface ImportOptions {
  /** False with `--no-takeover`. */
  readonly takeover: boolean;
  readonly from: 'lines' | 'nango';
  /** By Nango's key of the integration. */
  readonly app?: Readonly<Record<string, string>>;
  readonly json?: boolean;
}

const GRANT_FIELDS = [
  'alias',
  'refresh_token',
  'scheme',
  'credentials',
  'access_token',
  'expires_in',
  'obtained_at',
  'owner',
  'labels',
  'scope',
];
const APP_FIELDS = ['provider', 'app', 'client_id', 'client_secret', 'private_key', 'variables'];
const FIELDS = [...GRANT_FIELDS, ...APP_FIELDS];

/** What the server says of a token that it knows already: nothing was sent, and nothing is lost. */
const HELD = ['already_held', 'older_than_held'];

export function command(): Command {
  return apiCommand('import', 'Take over grants: JSON Lines with alias, provider or app, and refresh_token or scheme')
    .argument('<file>', 'the file, or - for stdin')
    .option('--no-takeover', 'store without an exchange until the first use')
    .addOption(
      new Option(
        '--from <KIND>',
        "what the file is: lines, or Nango's connections; a file of export is known by itself",
      )
        .choices(['lines', 'nango'])
        .default('lines'),
    )
    .option('--app <KEY=APP>', "Nango's integration key, and the app or provider here; may be repeated", collectPairs)
    .action(run);
}

async function run(file: string, options: ImportOptions): Promise<void> {
  refuseNoFile(file);
  const failed = await withApi({ ...options }, 'none', async (api) => {
    const apps = await Array.fromAsync(items(api, '/v1/apps'));
    let failures = 0;
    let number = 0;
    for await (const line of await linesIn(file, options)) {
      number += 1;
      if (line.trim() === '') continue;
      const result = await importLine(api, apps, line, options.takeover);
      if (result.problem) failures += 1;
      show({ line: number, ...result }, options);
    }
    return failures;
  });
  if (failed > 0) process.exitCode = 1;
}

function refuseNoFile(file: string): void {
  if (file === '-') return;
  const status = statSync(file, { throwIfNoEntry: false });
  if (!status?.isFile()) throw usageError(`${file} is no file.`, 'Name a file of JSON Lines, or - for stdin.');
  if (process.platform !== 'win32' && (status.mode & 0o077) !== 0) {
    say(`evergrant: others may read ${file}, and it holds refresh tokens: chmod 600 ${file}`);
  }
}

/** A sealed file and a document of Nango are read whole; lines one by one. */
async function linesIn(
  file: string,
  { from, app = {} }: ImportOptions,
): Promise<AsyncIterable<string> | readonly string[]> {
  if (from === 'nango') {
    const connections = nangoConnections(
      parsed(file === '-' ? await readText(process.stdin) : readFileSync(file, 'utf8')),
    );
    if (connections) return connections.map((one) => JSON.stringify(lineOf(one, app, now())));
    throw usageError(
      'These are no connections of Nango.',
      'Give what GET /connections/{id} answers, or a list of these.',
    );
  }
  if (file === '-' || !startsSealed(file)) return linesOf(file);
  return openText(readFileSync(file, 'utf8'), await passphrase('known')).split('\n');
}

function parsed(document: string): unknown {
  try {
    return JSON.parse(document);
  } catch {
    return null;
  }
}

function startsSealed(file: string): boolean {
  const start = Buffer.alloc(SEALED_START_BYTES);
  const handle = openSync(file, 'r');
  try {
    readSync(handle, start);
  } finally {
    closeSync(handle);
  }
  return isSealed(start.toString());
}

const SEALED_START_BYTES = 64;

/** To be read at once: lines that come before somebody listens are lost. */
function linesOf(file: string): AsyncIterable<string> {
  return createInterface({ input: file === '-' ? process.stdin : createReadStream(file) });
}

interface Result {
  readonly alias: string;
  readonly outcome: string;
  readonly grant?: string;
  readonly problem?: Problem;
}

async function importLine(api: Api, apps: Json[], line: string, takeover: boolean): Promise<Result> {
  let alias = '';
  try {
    const entry = parseLine(line);
    alias = text(entry, 'alias');
    const wanted = GRANT_FIELDS.flatMap((name) => (entry[name] === undefined ? [] : [[name, entry[name]] as const]));
    const app = await appFor(api, apps, entry);
    const how = entry.scheme === undefined ? { takeover } : {};
    const grant = await api.call('POST', '/v1/grants', { ...Object.fromEntries(wanted), app, ...how });
    return { alias, outcome: 'imported', grant: text(asObject(grant), 'id') };
  } catch (error) {
    const problem = problemOf(error);
    return HELD.includes(problem.code) ? { alias, outcome: problem.code } : { alias, outcome: 'failed', problem };
  }
}

/** Says what is wrong without showing the line: it holds tokens. */
function parseLine(line: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw usageError('The line is no JSON.', 'Write one JSON object a line.');
  }
  const entry = asObject(value);
  const stray = Object.keys(entry).find((name) => !FIELDS.includes(name));
  if (stray !== undefined) {
    throw usageError(
      `"${clean(stray)}" is no field of an import.${didYouMean(stray, FIELDS)}`,
      `Known: ${FIELDS.join(', ')}.`,
    );
  }
  for (const name of entry.scheme === undefined ? ['alias', 'refresh_token'] : ['alias']) {
    if (text(entry, name) === '') throw usageError(`"${name}" is missing.`, `Give every line its ${name}.`);
  }
  return entry;
}

/** The id of the app that the line names or describes; it is made where it is not there. */
async function appFor(api: Api, apps: Json[], entry: Json): Promise<string> {
  if (text(entry, 'app') !== '') return text(entry, 'app');
  const [provider, clientId, secret] = [
    text(entry, 'provider'),
    text(entry, 'client_id'),
    text(entry, 'client_secret'),
  ];
  if (provider === '') throw usageError('Neither "app" nor "provider" is given.', 'Name one of the two.');
  const fitting = apps.filter((app) => fits(app, provider, clientId, asObject(entry.variables)));
  if (fitting.length === 1 && fitting[0]) return text(fitting[0], 'id');
  if (clientId === '') {
    const many = fitting.length > 1 ? 'several apps' : 'no app';
    throw usageError(`There are ${many} at ${provider}.`, 'Give client_id and client_secret, or the id of an app.');
  }
  const key = text(entry, 'private_key');
  const proof = { ...(secret ? { client_secret: secret } : {}), ...(key ? { private_key: key } : {}) };
  const body = { provider, client_id: clientId, ...proof, variables: asObject(entry.variables) };
  const made = asObject(await api.call('POST', '/v1/apps', body));
  apps.push(made);
  return text(made, 'id');
}

/** An app has the provider's default for each variable that a line leaves out. */
function fits(app: Json, provider: string, clientId: string, variables: Json): boolean {
  const own = asObject(app.variables);
  return (
    text(app, 'provider') === provider &&
    (clientId === '' || text(app, 'client_id') === clientId) &&
    Object.entries(variables).every(([name, value]) => own[name] === value)
  );
}

function show(result: Result & { readonly line: number }, options: ImportOptions): void {
  const { line, alias, outcome, problem } = result;
  if (options.json) {
    printJson(result);
    return;
  }
  print(`line ${line}  ${clean(alias) || '-'}  ${outcome}${problem ? ` (${problem.code})` : ''}`);
  if (problem) say(`line ${line}: ${problem.detail} Remedy: ${problem.remedy}`);
}
