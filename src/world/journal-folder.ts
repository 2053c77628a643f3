/** The journal of another node, read from its folder or a copy of it. Nothing there is changed. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EvergrantError } from '../core/errors.ts';
import type { NodeId } from '../core/id.ts';
import type { NumberedRecord } from '../ports/journal.ts';
import type { Log } from '../ports/log.ts';
import { nodeDisk } from './file-journal-disk.ts';
import { Segments } from './file-journal-segments.ts';

export interface JournalFolder {
  /** As its data folder names it; null where the folder is only a journal. */
  readonly node: NodeId | null;
  /** Everything that is readable, in order; what is not is reported to the log. */
  records(): AsyncIterable<NumberedRecord>;
}

/** `path` is a data folder, or the journal in one. Throws `usage` where neither is there. */
export async function openJournalFolder(path: string, log: Log): Promise<JournalFolder> {
  const folder = existsSync(join(path, 'journal')) ? join(path, 'journal') : path;
  const segments = new Segments(folder, nodeDisk, log);
  await segments.load().catch((cause: unknown) => {
    throw noJournal(path, cause);
  });
  if (segments.all.length === 0) throw noJournal(path, null);
  const name = [join(path, 'node.id'), join(path, '..', 'node.id')].find((one) => existsSync(one));
  const node = name === undefined ? null : readFileSync(name, 'utf8').trim();
  return { node: node === '' ? null : node, records: () => segments.since(Number.NEGATIVE_INFINITY) };
}

function noJournal(path: string, cause: unknown): EvergrantError {
  return new EvergrantError('usage', `There is no journal in ${path}.`, {
    remedy: 'Name the data folder of the other node, or the folder "journal" in it.',
    cause,
  });
}
