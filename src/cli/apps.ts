/** `evergrant apps …`: registrations at providers. */
import { Command } from 'commander';
import { items, withApi } from './api.ts';
import { plainPage, plainTable } from './grant-view.ts';
import { asObject, text } from './json.ts';
import { knownProvider, privateKeyIn } from './new-app.ts';
import { apiCommand, collectPairs } from './options.ts';
import { print, printJson, say } from './output.ts';
import { asking, clientSecret } from './prompt.ts';

interface JsonOption {
  readonly json?: boolean;
}

const COLUMNS = { id: 'ID', provider: 'PROVIDER', name: 'NAME', client_id: 'CLIENT ID', variables: 'VARIABLES' };

export function command(): Command {
  return new Command('apps')
    .description('Look after apps: registrations at providers')
    .addCommand(apiCommand('list', 'List apps').action(list))
    .addCommand(apiCommand('show', 'Show one app').argument('<app>', 'its id').action(show))
    .addCommand(addCommand())
    .addCommand(
      apiCommand('remove', 'Remove an app that no grant belongs to').argument('<app>', 'its id').action(remove),
    );
}

async function list(options: JsonOption): Promise<void> {
  const apps = await withApi({ ...options }, 'none', (api) => Array.fromAsync(items(api, '/v1/apps')));
  if (options.json) for (const app of apps) printJson(app);
  else if (apps.length > 0) print(plainTable(COLUMNS, apps));
  else say('No apps. Add one: evergrant apps add PROVIDER --client-id ID');
}

async function show(app: string, options: JsonOption): Promise<void> {
  const found = await withApi({ ...options }, 'none', (api) => api.call('GET', `/v1/apps/${encodeURIComponent(app)}`));
  if (options.json) printJson(found);
  else print(plainPage(asObject(found)));
}

interface AddOptions extends JsonOption {
  readonly clientId?: string;
  readonly privateKeyFile?: string;
  readonly name?: string;
  readonly variable?: Readonly<Record<string, string>>;
}

function addCommand(): Command {
  return apiCommand('add', 'Add an app; its client secret is asked for, or read from stdin')
    .argument('<provider>', 'id of the provider')
    .option('--client-id <ID>', 'client id that the provider gave; left out, the app registers itself where it can')
    .option('--private-key-file <FILE>', 'instead of a secret: the key with which it signs (private_key_jwt)')
    .option('--name <NAME>', 'a name for people')
    .option('--variable <NAME=VALUE>', 'a variable of the provider; may be repeated', collectPairs)
    .addHelpText('after', '\nWithout a terminal: EVERGRANT_CLIENT_SECRET[_FILE], or the secret as a line on stdin.')
    .action(add);
}

async function add(provider: string, options: AddOptions): Promise<void> {
  const { name, variable: variables } = options;
  const app = await withApi({ ...options }, 'none', async (api) => {
    await knownProvider(api, provider);
    const client = await clientOf(options);
    const more = { ...(name ? { name } : {}), ...(variables ? { variables } : {}) };
    return api.call('POST', '/v1/apps', { provider, ...client, ...more });
  });
  if (options.json) printJson(app);
  else print(text(asObject(app), 'id'));
}

/** Nothing where the app registers itself. */
async function clientOf({ clientId, privateKeyFile }: AddOptions): Promise<Readonly<Record<string, string>>> {
  if (!clientId) return {};
  if (!privateKeyFile) return { client_id: clientId, client_secret: await asking(clientSecret) };
  return { client_id: clientId, private_key: privateKeyIn(privateKeyFile) };
}

async function remove(app: string, options: JsonOption): Promise<void> {
  await withApi({ ...options }, 'none', (api) => api.call('DELETE', `/v1/apps/${encodeURIComponent(app)}`));
  if (options.json) printJson({ id: app, removed: true });
  else print(`${app}: removed.`);
}
