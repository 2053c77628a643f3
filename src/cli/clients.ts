/** `evergrant clients …`: who gets tokens of grants from this server. */
import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { items, withApi } from './api.ts';
import { plainPage, plainTable } from './grant-view.ts';
import { asObject, type Json, text } from './json.ts';
import { apiCommand, collect, seconds } from './options.ts';
import { fields, print, printJson, say } from './output.ts';
import { usageError } from './problem.ts';

interface JsonOption {
  readonly json?: boolean;
}

const COLUMNS = { client_id: 'CLIENT ID', name: 'NAME', type: 'TYPE', grants: 'GRANTS', apps: 'APPS' };

export function command(): Command {
  return new Command('clients')
    .description('Look after clients: programs that get tokens of grants from here')
    .addCommand(apiCommand('list', 'List clients').action(list))
    .addCommand(apiCommand('show', 'Show one client').argument('<client>', 'its id').action(show))
    .addCommand(
      apiCommand('events', "Print what happened to a client's tokens lately, with the true reason of each refusal")
        .argument('<client>', 'its id')
        .action(events),
    )
    .addCommand(addCommand())
    .addCommand(
      apiCommand('token', 'Issue a further refresh token of a client, and print it, this once')
        .argument('<client>', 'its id')
        .argument('<grant>', 'alias or id of a grant that it may use')
        .option('--dpop-jkt <THUMBPRINT>', 'the key that it is bound to; left out: that of its first proof')
        .action(token),
    )
    .addCommand(
      apiCommand('secret', 'Give a client a new secret, and print it, this once')
        .argument('<client>', 'its id')
        .option('--keep-previous <SECONDS>', 'so long the one before works yet (default: 0)', seconds)
        .action(secret),
    )
    .addCommand(
      apiCommand('remove', 'Remove a client: its access ends at once').argument('<client>', 'its id').action(remove),
    );
}

async function list(options: JsonOption): Promise<void> {
  const clients = await withApi({ ...options }, 'none', (api) => Array.fromAsync(items(api, '/v1/clients')));
  if (options.json) for (const client of clients) printJson(client);
  else if (clients.length > 0) print(plainTable(COLUMNS, clients));
  else say('No clients. Add one: evergrant clients add NAME --grant ALIAS');
}

async function show(client: string, options: JsonOption): Promise<void> {
  const found = await withApi({ ...options }, 'none', (api) => api.call('GET', pathOf(client)));
  if (options.json) printJson(found);
  else print(plainPage(asObject(found)));
}

const EVENT_COLUMNS = { at: 'AT', type: 'WHAT', times: 'TIMES', reason: 'REASON', grant: 'GRANT', token: 'TOKEN' };

async function events(client: string, options: JsonOption): Promise<void> {
  const path = `${pathOf(client)}/events`;
  const found = (await withApi({ ...options }, 'none', (api) => Array.fromAsync(items(api, path)))).map(asObject);
  if (options.json) for (const event of found) printJson(event);
  else if (found.length > 0) print(plainTable(EVENT_COLUMNS, found.map(eventRow)));
  else say('Nothing happened yet.');
}

/** Of all tokens that came after one another, which was presented. */
function eventRow(event: Json): Json {
  const which = `${text(event, 'token_counter')} of ${text(event, 'latest_counter')}`;
  return { ...event, times: event.times ?? 1, token: event.token_counter === undefined ? null : which };
}

interface AddOptions extends JsonOption {
  readonly grant?: readonly string[];
  readonly app?: readonly string[];
  readonly redirectUri?: readonly string[];
  readonly authMethod?: string;
  readonly jwks?: string;
  readonly rotating?: boolean;
  readonly dpop?: boolean;
  readonly dpopJkt?: string;
}

function addCommand(): Command {
  return apiCommand('add', 'Add a client, and print its secret and refresh tokens, this once')
    .argument('<name>', 'a name for people')
    .option('--grant <ALIAS>', 'a grant that it may use; may be repeated', collect)
    .option('--app <APP>', 'an app through which it may connect new grants; may be repeated', collect)
    .option('--redirect-uri <URI>', 'where its users come back to; may be repeated', collect)
    .option('--auth-method <METHOD>', 'client_secret_basic, client_secret_post, private_key_jwt or none')
    .option('--jwks <FILE>', 'its public keys, for private_key_jwt')
    .option(
      '--dpop',
      'its refresh tokens are bound to a key of its own (RFC 9449); without a secret they need not change then',
    )
    .option('--dpop-jkt <THUMBPRINT>', 'the same, and to which key (RFC 7638); left out: that of the first proof')
    .option('--rotating', 'its refresh tokens change with each use, and one that comes back ends them')
    .action(add);
}

async function add(name: string, options: AddOptions): Promise<void> {
  const { grant, app, redirectUri, authMethod, jwks, rotating, dpop, dpopJkt } = options;
  const body: Json = {
    name,
    ...(grant ? { grants: grant } : {}),
    ...(app ? { apps: app } : {}),
    ...(redirectUri ? { redirect_uris: redirectUri } : {}),
    ...(authMethod === undefined ? {} : { token_endpoint_auth_method: authMethod }),
    ...(jwks === undefined ? {} : { jwks: await jwksIn(jwks) }),
    ...(rotating ? { rotation: 'rotating' } : {}),
    ...(dpop || dpopJkt !== undefined ? { dpop_bound_refresh_tokens: true } : {}),
    ...(dpopJkt === undefined ? {} : { dpop_jkt: dpopJkt }),
  };
  const made = asObject(await withApi({ ...options }, 'none', (api) => api.call('POST', '/v1/clients', body)));
  if (options.json) {
    printJson(made);
    return;
  }
  const tokens = Object.entries(asObject(made.refresh_tokens));
  print(
    fields([
      ['client_id', text(made, 'client_id')],
      ['client_secret', text(made, 'client_secret')],
      ...tokens.map(([alias, one]) => [`refresh_token (${alias})`, String(one)] as const),
    ]),
  );
  say('Keep them now, they are not shown again.');
}

async function jwksIn(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch {
    throw usageError(`${file} cannot be read as JSON.`, 'Give a file with a JSON Web Key Set: {"keys": […]}');
  }
}

async function token(
  client: string,
  grant: string,
  options: JsonOption & { readonly dpopJkt?: string },
): Promise<void> {
  const { dpopJkt } = options;
  const body = { grant, ...(dpopJkt === undefined ? {} : { dpop_jkt: dpopJkt }) };
  const made = asObject(
    await withApi({ ...options }, 'none', (api) => api.call('POST', `${pathOf(client)}/refresh-tokens`, body)),
  );
  if (options.json) printJson(made);
  else print(text(made, 'refresh_token'));
}

async function secret(client: string, options: JsonOption & { readonly keepPrevious?: number }): Promise<void> {
  const body = { keep_previous: options.keepPrevious ?? 0 };
  const made = asObject(
    await withApi({ ...options }, 'none', (api) => api.call('POST', `${pathOf(client)}/secret`, body)),
  );
  if (options.json) printJson(made);
  else print(text(made, 'client_secret'));
}

async function remove(client: string, options: JsonOption): Promise<void> {
  const gone = asObject(await withApi({ ...options }, 'none', (api) => api.call('DELETE', pathOf(client))));
  const left = text(gone, 'residual_seconds');
  if (options.json) printJson({ ...gone, removed: true });
  else print(`${client}: removed; an access token that it has already may live ${left} s longer.`);
}

function pathOf(client: string): string {
  return `/v1/clients/${encodeURIComponent(client)}`;
}
