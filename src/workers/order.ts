/** What a worker must know to start. Its parent sends it over their channel, so that it stands nowhere else. */
import type { HttpSettings } from '../http/parts.ts';
import type { Secret } from '../core/secret.ts';

export interface Order {
  /** Its number in the crew, for the log. */
  readonly worker: number;
  readonly rootKey: Uint8Array;
  readonly adminKey: Secret<'api key'>;
  /** The texts that the parent has read, so that all go by the same ones. */
  readonly providers: { readonly builtIn: readonly FileText[]; readonly extra: readonly FileText[] };
  readonly listen: Address;
  /** Where the proxy listens; null: where everything else does. */
  readonly proxyListen: Address | null;
  readonly allowPrivateUpstream: readonly string[];
  readonly http: HttpSettings;
  /** Of `/metrics`. */
  readonly metricsType: string;
  readonly log: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

interface FileText {
  readonly name: string;
  readonly text: string;
}

interface Address {
  readonly host: string;
  readonly port: number;
}
