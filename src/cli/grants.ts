/** `evergrant grants …`: looks after grants. */
import { Command, InvalidArgumentError } from 'commander';
import { now } from '../client/time.ts';
import { type Instant, toRfc3339 } from '../core/instant.ts';
import { type Api, items, withApi } from './api.ts';
import { renewAndWait } from './authorize.ts';
import { exchanged, grantPage, grantTable, historyLine } from './grant-view.ts';
import { asObject, type Json, objects, text } from './json.ts';
import { apiCommand } from './options.ts';
import { print, printJson, say } from './output.ts';
import { usageError } from './problem.ts';
import { confirm } from './prompt.ts';
import { askCredentials, hasCredentials, isScheme } from './scheme.ts';

interface JsonOption {
  readonly json?: boolean;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export function command(): Command {
  return new Command('grants')
    .description('Look after grants')
    .addCommand(listCommand())
    .addCommand(named('show', 'Show one grant and its chain', show))
    .addCommand(named('history', 'Print what happened to a grant, newest first', history))
    .addCommand(renewCommand())
    .addCommand(named('refresh', "Exchange now, if the provider's spacing allows it", refresh))
    .addCommand(removeCommand());
}

function named(name: string, about: string, action: (grant: string, options: JsonOption) => Promise<void>): Command {
  return apiCommand(name, about).argument('<grant>', 'alias or id').action(action);
}

/** The address of a grant in the API. */
function grantPath(grant: string): string {
  return `/v1/grants/${encodeURIComponent(grant)}`;
}

const FILTERS = ['state', 'provider', 'owner', 'label', 'q'] as const;
type ListOptions = JsonOption &
  Readonly<Partial<Record<(typeof FILTERS)[number], string>>> & { readonly endsBefore?: string };

function listCommand(): Command {
  return apiCommand('list', 'List grants')
    .option('--state <STATE>', 'only those in this state')
    .option('--provider <ID>', 'only those at this provider')
    .option('--owner <OWNER>', 'only those of this owner')
    .option('--label <KEY=VALUE>', 'only those with this label')
    .option('-q, --q <TEXT>', 'only those with this text in alias, owner or account')
    .option('--ends-before <WHEN>', 'only those that a person has to renew before then: 30d, or 2026-12-31', endOf)
    .action(list);
}

/** From now on, or a date or time as it stands in answers. */
function endOf(value: string): string {
  const [, digits, unit = ''] = /^(\d{1,5})([dh])$/.exec(value) ?? [];
  const ms = digits === undefined ? Date.parse(value) : now() + Number(digits) * (unit === 'd' ? DAY_MS : HOUR_MS);
  if (Number.isFinite(ms) && (digits !== undefined || /^\d{4}-\d\d-\d\d/.test(value))) return toRfc3339(ms as Instant);
  throw new InvalidArgumentError('Expected a number of days or hours as in 30d or 12h, or a date as in 2026-12-31.');
}

async function list(options: ListOptions): Promise<void> {
  const { endsBefore } = options;
  const filters = FILTERS.flatMap((name) => (options[name] ? [[name, options[name]]] : []));
  const query = Object.fromEntries([...filters, ...(endsBefore ? [['ends_before', endsBefore]] : [])]);
  const grants = await withApi({ ...options }, 'none', (api) => Array.fromAsync(items(api, '/v1/grants', query)));
  if (options.json) for (const grant of grants) printJson(grant);
  else if (grants.length > 0) print(grantTable(grants, now()));
  else if (Object.keys(query).length > 0) say('No grant is like that.');
  else say('No grants. Make one: evergrant connect PROVIDER');
}

async function show(grant: string, options: JsonOption): Promise<void> {
  const [found, events] = await withApi({ ...options }, 'none', async (api) => {
    const one = asObject(await api.call('GET', grantPath(grant)));
    if (options.json) return [one, []];
    const page = asObject(await api.call('GET', `${grantPath(grant)}/history?limit=50`));
    return [one, objects(page.items)];
  });
  if (options.json) printJson(found);
  else print(grantPage(found, events, now()));
}

async function history(grant: string, options: JsonOption): Promise<void> {
  await withApi({ ...options }, 'none', async (api) => {
    for await (const entry of items(api, `${grantPath(grant)}/history`)) {
      if (options.json) printJson(entry);
      else print(historyLine(entry));
    }
  });
}

interface RenewOptions extends JsonOption {
  readonly username?: string;
  readonly broken?: boolean;
  readonly paste?: boolean;
}

function renewCommand(): Command {
  return apiCommand('renew', 'Authorize a grant anew: prints the link, waits, prints the grant')
    .argument('[grant]', 'alias or id')
    .option('--broken', 'walk through all grants that need a person')
    .option('--paste', 'without a browser here: paste the address that the browser ends at')
    .option('--username <NAME>', 'of a grant with a password instead of a person')
    .addHelpText('after', '\nA password or API key is asked for, or taken from EVERGRANT_CREDENTIAL[_FILE].')
    .action(renew);
}

async function renew(grant: string | undefined, options: RenewOptions): Promise<void> {
  if ((grant === undefined) !== (options.broken === true)) {
    throw usageError('Name one grant, or give --broken.', 'evergrant grants renew ALIAS');
  }
  await withApi({ ...options }, 'callback', async (api) => {
    const grants = grant === undefined ? await brokenGrants(api) : [grant];
    for (const [i, one] of grants.entries()) {
      if (grants.length > 1) say(`${i + 1} of ${grants.length}: ${one}`);
      printGrant(await renewOne(api, one, options), options);
    }
  });
}

/** By a person, or by other credentials. */
async function renewOne(api: Api, grant: string, options: RenewOptions): Promise<Json> {
  const scheme = text(asObject(await api.call('GET', grantPath(grant))), 'scheme');
  if (!isScheme(scheme)) return renewAndWait(api, grant, options);
  if (!hasCredentials(scheme)) {
    throw usageError(`${grant} has no credentials of its own: its app proves itself.`, 'Give the app another secret.');
  }
  const credentials = await askCredentials(scheme, options);
  return asObject(await api.call('PATCH', grantPath(grant), { credentials }));
}

async function brokenGrants(api: Api): Promise<readonly string[]> {
  const broken = await Array.fromAsync(items(api, '/v1/grants', { state: 'broken' }));
  if (broken.length === 0) say('No grant needs a person.');
  return broken.map((grant) => text(grant, 'alias'));
}

/** A grant that was just made or renewed. */
export function printGrant(grant: Json, options: JsonOption): void {
  if (options.json) printJson(grant);
  else print(grantPage(grant, [], now()));
}

async function refresh(grant: string, options: JsonOption): Promise<void> {
  const answer = await withApi({ ...options }, 'none', (api) => api.call('POST', `${grantPath(grant)}/refresh`, {}));
  // Who wants the token asks for it by name: `evergrant token`.
  const { access_token: _, ...rest } = asObject(answer);
  if (options.json) printJson({ grant, ...rest });
  else print(exchanged(grant, rest));
}

interface RemoveOptions extends JsonOption {
  readonly yes?: boolean;
}

function removeCommand(): Command {
  return apiCommand('remove', 'End a grant: no token any more')
    .argument('<grant>', 'alias or id')
    .option('--yes', 'do not ask')
    .action(remove);
}

async function remove(grant: string, options: RemoveOptions): Promise<void> {
  if (!options.yes && !(await confirm(`This ends ${grant} for good.`))) {
    throw usageError('Nothing was removed.', 'Answer yes, or give --yes.');
  }
  const ended = await withApi({ ...options }, 'none', (api) => api.call('DELETE', grantPath(grant)));
  if (options.json) printJson(ended ?? { grant, state: 'revoked' });
  else print(`${grant}: ended.`);
}
