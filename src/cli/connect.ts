/** `evergrant connect`: from a provider to a grant, with one person in between. */
import type { Command } from 'commander';
import { type Api, items, withApi } from './api.ts';
import { type AuthorizeOptions, renewAndWait, waitForNew } from './authorize.ts';
import { didYouMean } from './did-you-mean.ts';
import { printGrant } from './grants.ts';
import { asObject, type Json, objects, text } from './json.ts';
import { apiCommand, collectPairs } from './options.ts';
import { say } from './output.ts';
import { Refused, usageError } from './problem.ts';
import { asking, clientSecret } from './prompt.ts';

interface ConnectOptions extends AuthorizeOptions {
  readonly alias?: string;
  readonly owner?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly clientId?: string;
  readonly variable?: Readonly<Record<string, string>>;
}

export function command(): Command {
  return apiCommand('connect', 'Authorize in a browser: prints the link, waits, prints the grant')
    .argument('<provider-or-app>', 'id of a provider, or id or name of an app')
    .option('--alias <NAME>', 'name of the grant (default: the name of the provider)')
    .option('--owner <OWNER>', 'whom it belongs to, in your own terms')
    .option('--label <KEY=VALUE>', 'a label to select by; may be repeated', collectPairs)
    .option('--client-id <ID>', 'client id of the app at the provider')
    .option('--variable <NAME=VALUE>', 'a variable of the provider, for a new app; may be repeated', collectPairs)
    .option('--paste', 'without a browser here: paste the address that the browser ends at')
    .addHelpText('after', '\nThe client secret is asked for, or taken from EVERGRANT_CLIENT_SECRET[_FILE].')
    .action(connect);
}

async function connect(target: string, options: ConnectOptions): Promise<void> {
  const grant = await withApi({ ...options }, 'callback', async (api) => {
    const app = await findApp(api, target, options);
    const alias = options.alias ?? text(app, 'provider');
    return authorize(api, app, alias, options);
  });
  printGrant(grant, options);
}

/** The app that is meant; a new one when the provider has none yet. */
async function findApp(api: Api, target: string, options: ConnectOptions): Promise<Json> {
  const apps = await Array.fromAsync(items(api, '/v1/apps'));
  const named = apps.filter((app) => [text(app, 'id'), text(app, 'name')].includes(target));
  if (named.length === 1 && named[0]) return named[0];
  const wanted = apps.filter((app) => text(app, 'provider') === target && isMeant(app, options));
  if (wanted.length > 1) {
    const ids = wanted.map((app) => text(app, 'id')).join(', ');
    throw usageError(
      `${target} has several apps: ${ids}.`,
      'Name the app instead of the provider, or give --client-id.',
    );
  }
  return wanted[0] ?? newApp(api, target, options);
}

function isMeant(app: Json, { clientId, variable = {} }: ConnectOptions): boolean {
  const variables = asObject(app.variables);
  const fits = Object.entries(variable).every(([name, value]) => variables[name] === value);
  return fits && (clientId === undefined || text(app, 'client_id') === clientId);
}

async function newApp(api: Api, provider: string, options: ConnectOptions): Promise<Json> {
  await refuseUnknownProvider(api, provider);
  say(`There is no app at ${provider} yet: register one there, then give its client id and secret.`);
  const { id, secret } = await asking(async (asker) => ({
    id: options.clientId ?? (await asker.line('Client id')),
    secret: await clientSecret(asker),
  }));
  const variables = options.variable ? { variables: options.variable } : {};
  return asObject(await api.call('POST', '/v1/apps', { provider, client_id: id, client_secret: secret, ...variables }));
}

/** Before anybody types a secret. */
export async function refuseUnknownProvider(api: Api, provider: string): Promise<void> {
  const page = asObject(await api.call('GET', '/v1/providers'));
  const ids = objects(page.items).map((one) => text(one, 'id'));
  if (ids.includes(provider)) return;
  throw new Refused({
    status: 400,
    code: 'unknown_provider',
    title: 'There is no such provider',
    detail: `There is no provider or app called ${provider}.${didYouMean(provider, ids)}`,
    remedy: 'See them all: evergrant providers list',
  });
}

async function authorize(api: Api, app: Json, alias: string, options: ConnectOptions): Promise<Json> {
  const { owner, label: labels } = options;
  const body = { app: text(app, 'id'), alias, ...(owner ? { owner } : {}), ...(labels ? { labels } : {}) };
  try {
    return await waitForNew(api, asObject(await api.call('POST', '/v1/grants', body)), options);
  } catch (error) {
    if (!(error instanceof Refused && error.problem.code === 'alias_taken')) throw error;
    return resume(api, app, alias, options, error);
  }
}

/** A grant that an earlier `connect` left without anybody authorizing it is taken up again. */
async function resume(api: Api, app: Json, alias: string, options: ConnectOptions, taken: Refused): Promise<Json> {
  const there = asObject(await api.call('GET', `/v1/grants/${encodeURIComponent(alias)}`));
  if (text(there, 'state') !== 'pending' || text(there, 'app') !== text(app, 'id')) {
    const remedy = `Choose another name: --alias. Or renew the one that is there: evergrant grants renew ${alias}`;
    throw new Refused({ ...taken.problem, remedy });
  }
  return renewAndWait(api, alias, options);
}
