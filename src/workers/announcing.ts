/**
 * A store that tells also of what this process writes, for those to whom this process is the store: its workers. Told
 * before the writer has its answer, and also where a write failed, for then it may have been made all the same.
 */
import type { ChainEvent } from '../core/chain.ts';
import type { Change, RecordKind, Records, Store } from '../ports/store.ts';

export interface Announcing {
  readonly store: Store;
  /** Of everything, whoever does it. */
  readonly changes: Pick<Store, 'watch' | 'heardAgoMs'>;
  tell(change: Change): void;
  /** The records for one who listens, and need not hear of what it does itself. */
  recordsOf(listener: (change: Change) => void): Records;
}

/** Nothing of these changes what is served, and each exchange makes several. */
const SILENT_EVENTS: readonly ChainEvent['type'][] = ['started', 'not_sent', 'lost', 'received', 'refused', 'proven'];

export function announcing(store: Store): Announcing {
  const listeners = new Set<(change: Change) => void>();
  const tell = (change: Change, except?: (change: Change) => void): void => {
    for (const listener of listeners) if (listener !== except) listener(change);
  };
  const unwatch = store.watch((change) => tell(change));

  const records = (except?: (change: Change) => void): Records => {
    const told = async <T>(kind: RecordKind, id: string, written: Promise<T>): Promise<T> => {
      try {
        return await written;
      } finally {
        tell({ kind, id }, except);
      }
    };
    return {
      ...store.records,
      insert: (kind, id, ...rest) => told(kind, id, store.records.insert(kind, id, ...rest)),
      update: (kind, id, ...rest) => told(kind, id, store.records.update(kind, id, ...rest)),
      remove: (kind, id) => told(kind, id, store.records.remove(kind, id)),
    };
  };

  return {
    store: {
      ...store,
      records: records(),
      chains: {
        ...store.chains,
        async append(grant, expected, event, dueOf) {
          try {
            return await store.chains.append(grant, expected, event, dueOf);
          } finally {
            if (!SILENT_EVENTS.includes(event.type)) tell({ kind: 'chain', id: grant });
          }
        },
      },
      async close() {
        unwatch();
        await store.close();
      },
    },
    changes: {
      watch(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      heardAgoMs: () => store.heardAgoMs(),
    },
    tell,
    recordsOf: records,
  };
}
