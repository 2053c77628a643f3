/**
 * `evergrant doctor`: without a name a check-up of the server and all its grants; with one, that grant's story; with an
 * error text, what it means. Exit codes: 0 fine, 3 a person is needed, 75 it passes by itself or later.
 */
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { now } from '../client/time.ts';
import { type Api, items, withApi } from './api.ts';
import { type Check, checkUpPage, findingPage, storyPage } from './doctor-view.ts';
import { asObject, type Json, objects, text } from './json.ts';
import { apiCommand, collect } from './options.ts';
import { print, printJson } from './output.ts';
import { usageError } from './problem.ts';

interface DoctorOptions {
  readonly json?: boolean;
  readonly provider?: string;
  readonly status?: number;
  readonly header?: readonly string[];
  readonly body?: string;
}

export function command(): Command {
  return apiCommand('doctor', 'Explain a grant, an error text, or how all is')
    .argument('[grant]', 'alias or id; without it, the server and all grants are checked')
    .option('--provider <ID>', 'whose error text it is')
    .option('--status <N>', 'HTTP status of the answer (default: 400)', httpStatus)
    .option("--header <'NAME: VALUE'>", 'a header of the answer; may be repeated', collect)
    .option('--body <TEXT>', 'the error text to explain; - reads it from stdin')
    .addHelpText('after', '\nExit codes: 0 fine · 3 a person is needed · 75 later')
    .action(doctor);
}

function httpStatus(value: string): number {
  if (!/^[1-5]\d\d$/.test(value)) throw new InvalidArgumentError('Expected an HTTP status, such as 400.');
  return Number(value);
}

async function doctor(grant: string | undefined, options: DoctorOptions): Promise<void> {
  const isText = options.body !== undefined;
  const hasDetails = [options.provider, options.status, options.header].some((one) => one !== undefined);
  if ((isText && grant !== undefined) || (!isText && hasDetails)) {
    throw usageError(
      'Name a grant, or give an error text, or neither.',
      'evergrant doctor ALIAS, or evergrant doctor --provider ID --status N --body TEXT',
    );
  }
  await withApi({ ...options }, 'none', async (api) => {
    if (isText) return explainText(api, options);
    return grant === undefined ? checkUp(api, options) : tellStory(api, grant, options);
  });
}

async function explainText(api: Api, options: DoctorOptions): Promise<void> {
  const { provider, status = 400, body = '' } = options;
  const finding = asObject(
    await api.call('POST', '/v1/diagnose', {
      ...(provider === undefined ? {} : { provider }),
      status,
      headers: headersOf(options.header ?? []),
      body: body === '-' ? readFileSync(0, 'utf8') : body,
    }),
  );
  if (options.json) printJson(finding);
  else print(findingPage(finding));
}

function headersOf(lines: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.indexOf(':');
      if (at < 1) throw usageError('A header has no colon.', "Write it as --header 'Name: value'.");
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    }),
  );
}

/** What of a grant's history is told. */
const EVENTS_TOLD = 100;

async function tellStory(api: Api, name: string, options: DoctorOptions): Promise<void> {
  const path = `/v1/grants/${encodeURIComponent(name)}`;
  const grant = asObject(await api.call('GET', path));
  const history = objects(asObject(await api.call('GET', `${path}/history?limit=${EVENTS_TOLD}`)).items);
  if (options.json) printJson({ ...grant, history });
  else print(storyPage(grant, history, now()));
  process.exitCode = exitOf([text(grant, 'state')]);
}

async function checkUp(api: Api, options: DoctorOptions): Promise<void> {
  const server = await serverChecks(api);
  const isAllowed = server.every(({ name, ok }) => ok || name !== 'key');
  const grants = isAllowed ? await Array.fromAsync(items(api, '/v1/grants')) : [];
  const byState = Object.fromEntries([...Map.groupBy(grants, (grant) => text(grant, 'state'))].map(count));
  const attention = grants.filter(needsAttention);
  if (options.json) printJson({ server: api.origin, checks: server, grants: byState, attention });
  else print(checkUpPage(api.origin, server, byState, attention, now()));
  const states = grants.map((grant) => text(grant, 'state')).filter((state) => state !== 'revoked');
  // A server that is not quite well is for later, as a grant that waits is.
  const isWell = server.every(({ ok }) => ok);
  process.exitCode = isAllowed ? exitOf(isWell ? states : [...states, 'waiting']) : 1;
}

function count([state, grants]: readonly [string, readonly Json[]]): readonly [string, number] {
  return [state, grants.length];
}

function needsAttention(grant: Json): boolean {
  const warnings = objects(asObject(grant.expires).warnings);
  return !['active', 'revoked'].includes(text(grant, 'state')) || warnings.length > 0;
}

/** Beyond this, times in messages of the two machines do not fit together. */
const MOST_SKEW_S = 5;

async function serverChecks(api: Api): Promise<readonly Check[]> {
  const before = now();
  const ready = await api.look('/readyz');
  const date = Date.parse(ready.headers.date ?? '');
  // The header has whole seconds.
  const skewS = Number.isNaN(date) ? 0 : Math.round((date + 500 - (before + now()) / 2) / 1000);
  const key = await api.look('/v1/grants?limit=1');
  return [
    {
      name: 'ready',
      ok: ready.status === 200,
      detail:
        ready.status === 200
          ? 'the store can be written to'
          : `not ready (HTTP ${ready.status}): see the log of the server`,
    },
    { name: 'key', ok: key.status === 200, detail: key.status === 200 ? 'accepted' : `refused (HTTP ${key.status})` },
    {
      name: 'clock',
      ok: Math.abs(skewS) <= MOST_SKEW_S,
      detail:
        Math.abs(skewS) <= 1 ? 'as here' : `${Math.abs(skewS)} s ${skewS > 0 ? 'ahead of' : 'behind'} this machine`,
    },
  ];
}

/** The most urgent of these states decides. */
function exitOf(states: readonly string[]): number {
  if (states.some((state) => state === 'broken' || state === 'pending')) return 3;
  if (states.some((state) => ['in_doubt', 'waiting', 'recovering', 'held'].includes(state))) return 75;
  return states.length === 1 && states[0] === 'revoked' ? 1 : 0;
}
