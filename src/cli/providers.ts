/** `evergrant providers …`: the catalogue, to read, and provider files, to try. */
import { Command } from 'commander';
import { withApi } from './api.ts';
import { plainTable } from './grant-view.ts';
import { asObject, type Json, objects, text, texts } from './json.ts';
import { apiCommand } from './options.ts';
import { clean, duration, fields, paint, print, printJson, say, table } from './output.ts';

interface JsonOption {
  readonly json?: boolean;
}

const COLUMNS = {
  id: 'ID',
  name: 'NAME',
  again: 'SAME TOKEN AGAIN AFTER A LOST ANSWER?',
  overlap: 'OVERLAP',
  spacing: 'SPACING',
  idle: 'UNUSED LIFE',
  grade: 'ROTATION IS',
};

export function command(): Command {
  return new Command('providers')
    .description('Look at the providers that this server knows, and try provider files')
    .addCommand(
      apiCommand('list', 'List providers')
        .option('--category <KIND>', 'only of this kind, as in accounting')
        .option('-q, --search <TEXT>', 'only whose id or name has this in it')
        .action(list),
    )
    .addCommand(apiCommand('show', 'Show one provider').argument('<provider>', 'its id').action(show))
    .addCommand(
      new Command('check')
        .description('Try a provider file: its form, its addresses, and whether its rules are possible')
        .argument('<file>', 'a file for the folder of --providers')
        .action(check),
    );
}

interface ListOptions extends JsonOption {
  readonly category?: string;
  readonly search?: string;
}

async function list(options: ListOptions): Promise<void> {
  const { category, search } = options;
  const query = new URLSearchParams({ ...(category && { category }), ...(search && { q: search }) });
  const path = query.size > 0 ? `/v1/providers?${query.toString()}` : '/v1/providers';
  const page = asObject(await withApi({ ...options }, 'none', (api) => api.call('GET', path)));
  const providers = objects(page.items);
  if (options.json) for (const provider of providers) printJson(provider);
  else if (providers.length > 0) print(plainTable(COLUMNS, providers.map(lineOf)));
  else say('No provider fits. See them all: evergrant providers list');
}

function lineOf(provider: Json): Json {
  const policy = asObject(provider.policy);
  return {
    id: provider.id,
    name: provider.name,
    again: text(policy, 'again') || policy.class,
    overlap: time(policy, 'overlap_window'),
    spacing: time(policy, 'min_spacing'),
    idle: time(policy, 'idle'),
    grade: text(policy, 'grade') || 'not known',
  };
}

/** Empty for none, for no limit, and for what is not known. */
function time(policy: Json, name: string): string {
  const seconds = Number(text(policy, name));
  return seconds > 0 ? duration(seconds) : '';
}

async function show(provider: string, options: JsonOption): Promise<void> {
  const path = `/v1/providers/${encodeURIComponent(provider)}`;
  const found = asObject(await withApi({ ...options }, 'none', (api) => api.call('GET', path)));
  if (options.json) printJson(found);
  else print(pageOf(found));
}

function pageOf(provider: Json): string {
  const kind = [text(provider, 'id'), text(provider, 'category')].filter(Boolean).join(', ');
  const parts = [
    `${paint('bold', clean(text(provider, 'name')))}  ${clean(kind)}`,
    texts(provider.rotation).map(clean).join('\n'),
    text(provider, 'lost_answer') && `When an answer is lost: ${clean(text(provider, 'lost_answer'))}`,
    figures(provider),
    addresses(provider),
    errorTable(provider),
    texts(provider.notes)
      .map((note) => `- ${clean(note)}`)
      .join('\n'),
    sourceTable(provider),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function figures(provider: Json): string {
  const policy = asObject(provider.policy);
  return fields([
    ['unused life', time(policy, 'idle')],
    ['life in all', time(policy, 'absolute')],
    ['access token', time(policy, 'access_token')],
    ['overlap', time(policy, 'overlap_window')],
    ['between exchanges', time(policy, 'min_spacing')],
    ['exchanges a day', text(policy, 'per_day')],
  ]);
}

function addresses(provider: Json): string {
  const names = ['issuer', 'authorization_endpoint', 'token_endpoint', 'refresh_endpoint', 'revocation_endpoint'];
  const variables = Object.entries(asObject(provider.variables)).map(([name, value]) => {
    const choices = Object.keys(asObject(asObject(value).choices));
    return choices.length > 0 ? `${name} (${choices.join(', ')})` : name;
  });
  return fields([
    ...names.map((name) => [name.replaceAll('_', ' '), text(provider, name)] as const),
    ['variables', variables.join('; ')],
  ]);
}

function errorTable(provider: Json): string {
  const rows = objects(provider.errors).map((error) => {
    const body = Object.entries(asObject(error.body)).map(([at, value]) => `${at}=${String(value)}`);
    const code = [text(error, 'error'), ...body].filter(Boolean).join(' ');
    return [text(error, 'status') || 'any', code, text(error, 'description'), text(error, 'means')];
  });
  if (rows.length === 0) return '';
  return table(['STATUS', 'ERROR', 'DESCRIPTION BEGINS', 'MEANS'], rows.map(cells));
}

function sourceTable(provider: Json): string {
  const rows = objects(provider.facts).map((fact) => [
    text(fact, 'about'),
    text(fact, 'grade'),
    text(fact, 'seen'),
    [text(fact, 'source'), text(fact, 'note')].filter(Boolean).join(' - '),
  ]);
  return rows.length === 0 ? '' : table(['ABOUT', 'GRADE', 'SEEN', 'SOURCE'], rows.map(cells));
}

function cells(words: readonly string[]): readonly { readonly words: string }[] {
  return words.map((cell) => ({ words: cell }));
}

/** Needs no server: the file is read here, by the same code. */
async function check(file: string, options: JsonOption): Promise<void> {
  const { checkProviderFile } = await import('../app.ts');
  const found = checkProviderFile(file);
  if (options.json) printJson(found);
  else print(`${found.file} is a good provider file: ${found.id}, ${found.name}. Same token again? ${found.again}.`);
}
