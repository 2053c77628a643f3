/** What parent and worker say to each other. Each side hears the other's messages in the order in which they were sent. */
import type { Change } from '../ports/store.ts';

/** `given`, `value` and `error` as `toWire` writes them. */
export type FromWorker =
  | { readonly is: 'ask'; readonly id: number; readonly name: string; readonly given: unknown }
  /** It hears, and wants to know whether it is heard. */
  | { readonly is: 'ping'; readonly id: number }
  | { readonly is: 'ready' }
  /** It cannot start, and ends. */
  | { readonly is: 'failed'; readonly error: unknown };

export type FromParent =
  /** The first of all. */
  | { readonly is: 'order'; readonly order: unknown }
  | { readonly is: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly is: 'refusal'; readonly id: number; readonly error: unknown }
  | { readonly is: 'change'; readonly change: Change }
  /** What a provider answered under this key is right no more. */
  | { readonly is: 'outdated'; readonly key: string }
  /** Every change that was made up to `heardAgoMs` before the ping came has been told. */
  | { readonly is: 'pong'; readonly id: number; readonly heardAgoMs: number }
  /** Nothing new from now on; end when what is under way is answered. */
  | { readonly is: 'stop' };
