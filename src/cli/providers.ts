/** `evergrant providers …`: the catalogue, to read. */
import { Command } from 'commander';
import { withApi } from './api.ts';
import { plainPage, plainTable } from './grant-view.ts';
import { asObject, type Json, objects, text } from './json.ts';
import { apiCommand } from './options.ts';
import { duration, print, printJson } from './output.ts';

interface JsonOption {
  readonly json?: boolean;
}

const COLUMNS = { id: 'ID', name: 'NAME', class: 'AFTER A LOST ANSWER', spacing: 'SPACING', idle: 'UNUSED LIFE' };

export function command(): Command {
  return new Command('providers')
    .description('Look at the providers that this server knows')
    .addCommand(apiCommand('list', 'List providers').action(list))
    .addCommand(apiCommand('show', 'Show one provider').argument('<provider>', 'its id').action(show));
}

async function list(options: JsonOption): Promise<void> {
  const page = asObject(await withApi({ ...options }, 'none', (api) => api.call('GET', '/v1/providers')));
  const providers = objects(page.items);
  if (options.json) for (const provider of providers) printJson(provider);
  else print(plainTable(COLUMNS, providers.map(row)));
}

function row(provider: Json): Json {
  const policy = asObject(provider.policy);
  const spacing = Number(text(policy, 'min_spacing'));
  const idle = Number(text(policy, 'idle'));
  return {
    id: provider.id,
    name: provider.name,
    class: policy.class,
    spacing: spacing > 0 ? duration(spacing) : '',
    idle: idle > 0 ? duration(idle) : '',
  };
}

async function show(provider: string, options: JsonOption): Promise<void> {
  const path = `/v1/providers/${encodeURIComponent(provider)}`;
  const found = await withApi({ ...options }, 'none', (api) => api.call('GET', path));
  if (options.json) printJson(found);
  else print(plainPage(asObject(found)));
}
