/** `evergrant journal …`: the journals of nodes: how they stand, merging one from its folder, giving one up. */
import { Command } from 'commander';
import { type Api, withApi } from './api.ts';
import { asObject, type Json, objects, text, texts } from './json.ts';
import { apiCommand } from './options.ts';
import { fields, print, printJson, say, table } from './output.ts';
import { usageError } from './problem.ts';

interface JsonOption {
  readonly json?: boolean;
}

/** The API takes a megabyte at a time. */
const PART_BYTES = 500_000;
const TRY_LATER = 75;

export function command(): Command {
  return new Command('journal')
    .description('Look after the journals of nodes')
    .addCommand(apiCommand('status', 'How the journals of all nodes stand').action(status))
    .addCommand(
      apiCommand('merge', 'Bring in the journal of a node that will not come back')
        .argument('<dir>', 'its data folder, or a copy; nothing in it is changed')
        .action(merge),
    )
    .addCommand(
      apiCommand('abandon', 'Give up the journal of a node that will not come back')
        .argument('<node>', 'its id')
        .option('--i-understand', 'what only that journal holds is lost: its grants may need a person')
        .action(abandon),
    );
}

async function status(options: JsonOption): Promise<void> {
  const found = asObject(await withApi({ ...options }, 'none', (api) => api.call('GET', '/v1/journals')));
  if (options.json) return printJson(found);
  const own = asObject(found.journal);
  print(
    fields([
      ['node', text(found, 'node')],
      ['records', text(own, 'last')],
      ['in the store', text(own, 'settled_up_to')],
      ['on disk', `${text(own, 'bytes')} bytes in ${text(own, 'segments')} files`],
      ['restoring', text(found, 'restoring') === 'true' ? 'yes: a journal is awaited' : ''],
    ]),
  );
  print('');
  print(table(['NODE', 'IS', 'MERGED UP TO', 'GRANTS THAT WAIT'], objects(found.nodes).map(nodeRow)));
}

function nodeRow(node: Json) {
  const is = text(node, 'given_up') === 'true' ? 'given up' : text(node, 'here') === 'true' ? 'here' : 'gone';
  const isAwaited = text(node, 'awaited') === 'true';
  return [text(node, 'id'), isAwaited ? `${is}, awaited` : is, text(node, 'merged'), text(node, 'grants')].map(
    (words) => ({ words }),
  );
}

async function merge(dir: string, options: JsonOption): Promise<void> {
  const { readJournalFolder } = await import('../app.ts');
  const folder = await readJournalFolder(dir, (line) => say(`evergrant: ${line}`));
  const total = { records: 0, brought: 0, waiting: 0, failed: 0, unreadable: 0 };
  const nodes = new Set<string>();
  const merged = await withApi({ ...options }, 'none', async (api) => {
    for await (const records of inParts(folder.records)) {
      for (const record of records) nodes.add(record.node);
      const part = await send(api, records, []);
      total.records += records.length;
      for (const name of ['brought', 'waiting', 'failed', 'unreadable'] as const) total[name] += Number(part[name]);
    }
    if (nodes.size === 0 && folder.node !== null) nodes.add(folder.node);
    const isWhole = total.waiting === 0 && total.failed === 0;
    const last = isWhole ? await send(api, [], [...nodes]) : null;
    return { ...total, nodes: [...nodes], complete: isWhole, grants: last ? texts(last.grants) : [] };
  });
  if (options.json) printJson(merged);
  else tellMerged(merged);
  if (!merged.complete) process.exitCode = merged.failed > 0 ? 1 : TRY_LATER;
}

async function send(api: Api, records: readonly object[], nodes: readonly string[]): Promise<Json> {
  return asObject(await api.call('POST', '/v1/journals/merge', { records, nodes }));
}

function tellMerged(merged: Readonly<Record<string, unknown>> & { readonly nodes: readonly string[] }): void {
  const { records, brought, unreadable, waiting, failed, complete, grants } = merged;
  print(`${String(brought)} of ${String(records)} records are in the store.`);
  if (Number(unreadable) > 0) say(`${String(unreadable)} records cannot be read any more.`);
  if (Number(waiting) > 0)
    say(`${String(waiting)} records come after those of another journal: merge that one, then this again.`);
  if (Number(failed) > 0)
    say(`${String(failed)} records could not be brought in: see the log of the server, then repeat this.`);
  if (complete === true) {
    print(`Nobody waits for ${merged.nodes.join(', ') || 'it'} any more; ${texts(grants).length} grants go on.`);
  }
}

/** So many records at a time as the API takes. */
async function* inParts<T extends object>(records: AsyncIterable<T>): AsyncGenerator<readonly T[]> {
  let part: T[] = [];
  let bytes = 0;
  for await (const record of records) {
    const size = JSON.stringify(record).length;
    if (part.length > 0 && bytes + size > PART_BYTES) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(record);
    bytes += size;
  }
  if (part.length > 0) yield part;
}

async function abandon(node: string, options: JsonOption & { readonly iUnderstand?: boolean }): Promise<void> {
  if (!options.iUnderstand) {
    throw usageError(
      `What only the journal of ${node} holds would be lost, and its grants may need a person.`,
      'Merge it if its folder is still there: evergrant journal merge DIR. Otherwise repeat this with --i-understand.',
    );
  }
  const path = `/v1/journals/${encodeURIComponent(node)}/abandon`;
  const done = asObject(await withApi({ ...options }, 'none', (api) => api.call('POST', path, { i_understand: true })));
  if (options.json) return printJson(done);
  const grants = texts(done.grants);
  print(`The journal of ${node} is given up. ${grants.length} grants are concerned:`);
  for (const grant of grants) print(grant);
}
