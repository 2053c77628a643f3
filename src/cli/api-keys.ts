/** `evergrant api-keys …`: keys of operators and scripts. */
import { Command } from 'commander';
import { items, withApi } from './api.ts';
import { plainTable } from './grant-view.ts';
import { asObject, text } from './json.ts';
import { apiCommand, collect } from './options.ts';
import { print, printJson, say } from './output.ts';

interface JsonOption {
  readonly json?: boolean;
}

const COLUMNS = { id: 'ID', name: 'NAME', scopes: 'SCOPES', created_at: 'MADE' };

export function command(): Command {
  return new Command('api-keys')
    .description('Look after API keys')
    .addCommand(apiCommand('list', 'List API keys').action(list))
    .addCommand(
      apiCommand('add', 'Make an API key and print it, this once')
        .argument('<name>', 'a name for people')
        .option('--scope <SCOPE>', 'what it may do (default: admin, which is everything); may be repeated', collect)
        .action(add),
    )
    .addCommand(apiCommand('remove', 'Revoke an API key at once').argument('<key>', 'its id').action(remove));
}

async function list(options: JsonOption): Promise<void> {
  const keys = await withApi({ ...options }, 'none', (api) => Array.fromAsync(items(api, '/v1/api-keys')));
  if (options.json) for (const key of keys) printJson(key);
  else if (keys.length > 0) print(plainTable(COLUMNS, keys));
  else say('No API keys besides the admin key.');
}

async function add(name: string, options: JsonOption & { readonly scope?: readonly string[] }): Promise<void> {
  const body = { name, ...(options.scope ? { scopes: options.scope } : {}) };
  const made = asObject(await withApi({ ...options }, 'none', (api) => api.call('POST', '/v1/api-keys', body)));
  if (options.json) {
    printJson(made);
    return;
  }
  print(text(made, 'key'));
  say(`${text(made, 'id')}: keep it now, it is not shown again.`);
}

async function remove(key: string, options: JsonOption): Promise<void> {
  await withApi({ ...options }, 'none', (api) => api.call('DELETE', `/v1/api-keys/${encodeURIComponent(key)}`));
  if (options.json) printJson({ id: key, removed: true });
  else print(`${key}: revoked.`);
}
