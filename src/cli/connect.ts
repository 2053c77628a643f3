/** `evergrant connect`: from a provider to a grant, with one person in between, or with credentials instead of one. */
import { type Command, Option } from 'commander';
import { ERRORS } from '../core/errors.ts';
import { type Api, items, withApi } from './api.ts';
import { type AuthorizeOptions, renewAndWait, waitForNew } from './authorize.ts';
import { printGrant } from './grants.ts';
import { asObject, type Json, text } from './json.ts';
import { knownProvider, privateKeyIn } from './new-app.ts';
import { apiCommand, collectPairs } from './options.ts';
import { say } from './output.ts';
import { Refused, usageError } from './problem.ts';
import { asking, clientSecret } from './prompt.ts';
import { askCredentials, type CredentialOptions, needsNoClient, SCHEMES, type SchemeName } from './scheme.ts';

interface ConnectOptions extends AuthorizeOptions, CredentialOptions {
  readonly scheme?: SchemeName;
  readonly scope?: string;
  readonly privateKeyFile?: string;
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
    .option('--scope <SCOPE>', 'what is asked for, separated by spaces (default: what the provider file says)')
    .option('--paste', 'without a browser here: paste the address that the browser ends at')
    .addOption(new Option('--scheme <SCHEME>', 'without a person: docs/schemes.md').choices(SCHEMES))
    .option('--username <NAME>', 'with --scheme password or basic')
    .option('--subject <NAME>', 'with --scheme jwt_bearer: for whom the app acts (default: for itself)')
    .option('--private-key-file <FILE>', 'for a new app that proves itself by its key instead of a secret')
    .addHelpText('after', HELP)
    .action(connect);
}

const HELP = `
Secrets are asked for, or read as lines from stdin. Without asking: the client secret from
EVERGRANT_CLIENT_SECRET[_FILE], a password or API key from EVERGRANT_CREDENTIAL[_FILE].`;

async function connect(target: string, options: ConnectOptions): Promise<void> {
  const { scheme } = options;
  if (scheme) return connectWithout(target, scheme, options);
  const stray = (['username', 'subject'] as const).find((name) => options[name] !== undefined);
  if (stray) throw usageError(`--${stray} goes with a scheme.`, 'Add --scheme, or leave it out.');
  const grant = await withApi({ ...options }, 'callback', async (api) => {
    const app = await findApp(api, target, options);
    const alias = options.alias ?? text(app, 'provider');
    return authorize(api, app, alias, options);
  });
  printGrant(grant, options);
}

/** Without a person. All questions are asked of one reader: lines that come together are not lost between two. */
async function connectWithout(target: string, scheme: SchemeName, options: ConnectOptions): Promise<void> {
  const grant = await withApi({ ...options }, 'none', (api) =>
    asking(async (asker) => {
      const ask: typeof asking = (use) => use(asker);
      const app = await findApp(api, target, options, ask);
      const credentials = await askCredentials(scheme, options, ask);
      const body = newGrant(app, options.alias ?? text(app, 'provider'), options);
      return asObject(
        await api.call('POST', '/v1/grants', { ...body, scheme, ...(credentials ? { credentials } : {}) }),
      );
    }),
  );
  printGrant(grant, options);
  process.exitCode = exitCodeOfState(text(grant, 'state'));
}

/** The grant is there in any case; whoever made it wants to know whether it works. */
function exitCodeOfState(state: string): number {
  if (state === 'active') return 0;
  return state === 'broken' ? ERRORS.authorization_required.exit : ERRORS.in_doubt.exit;
}

/** The app that is meant; a new one when the provider has none yet. */
async function findApp(api: Api, target: string, options: ConnectOptions, ask = asking): Promise<Json> {
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
  return wanted[0] ?? newApp(api, target, options, ask);
}

function isMeant(app: Json, { clientId, variable = {} }: ConnectOptions): boolean {
  const variables = asObject(app.variables);
  const fits = Object.entries(variable).every(([name, value]) => variables[name] === value);
  return fits && (clientId === undefined || text(app, 'client_id') === clientId);
}

async function newApp(api: Api, provider: string, options: ConnectOptions, ask: typeof asking): Promise<Json> {
  const known = await knownProvider(api, provider);
  const client = await clientOf(known, options, ask);
  const variables = options.variable ? { variables: options.variable } : {};
  return asObject(await api.call('POST', '/v1/apps', { provider, ...client, ...variables }));
}

/** What proves a new app. One whose grants bring all that is needed has its scheme for a name, where it must have one. */
async function clientOf(
  provider: Json,
  { scheme, clientId, privateKeyFile }: ConnectOptions,
  ask: typeof asking,
): Promise<Json> {
  if (scheme && needsNoClient(scheme)) {
    return text(provider, 'token_endpoint') || text(provider, 'issuer') ? { client_id: clientId ?? scheme } : {};
  }
  if (privateKeyFile && clientId) return { client_id: clientId, private_key: privateKeyIn(privateKeyFile) };
  say(`There is no app at ${text(provider, 'id')} yet: register one there, then give its client id and secret.`);
  return ask(async (asker) => ({
    client_id: clientId ?? (await asker.line('Client id')),
    ...(privateKeyFile ? { private_key: privateKeyIn(privateKeyFile) } : { client_secret: await clientSecret(asker) }),
  }));
}

function newGrant(app: Json, alias: string, { owner, label: labels, scope }: ConnectOptions): Json {
  return {
    app: text(app, 'id'),
    alias,
    ...(owner ? { owner } : {}),
    ...(labels ? { labels } : {}),
    ...(scope ? { scope } : {}),
  };
}

async function authorize(api: Api, app: Json, alias: string, options: ConnectOptions): Promise<Json> {
  const body = newGrant(app, alias, options);
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
