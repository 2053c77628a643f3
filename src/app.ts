/**
 * Composition of the server: the only file that knows storage, keeper, http and the machine at once.
 */

/** Every setting of `serve`, parsed and checked. Times in milliseconds. */
export interface Settings {
  readonly listen: { readonly host: string; readonly port: number };
  readonly dataFolder: string;
  /** Null: SQLite in the data folder. */
  readonly databaseUrl: string | null;
  /** Null: made once in the data folder. */
  readonly nodeId: string | null;
  /** Without a slash at its end. */
  readonly publicUrl: string;
  /** base64 or hex of 32 bytes; null: the file in the data folder. */
  readonly rootKey: string | null;
  readonly adminKey: string | null;
  readonly providersFolder: string | null;
  /** CIDR ranges that names of providers may resolve to although they are private. */
  readonly allowPrivateUpstream: readonly string[];
  readonly insecureHttp: boolean;
  readonly trustedProxies: readonly string[];
  readonly drainMs: number;
  readonly log: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** A plain request and answer, for callers in the same process. */
export interface LocalRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** Path and query, as in `/v1/grants?limit=10`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface LocalAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface RunningApp {
  /** Where it listens; null when it does not. */
  readonly origin: string | null;
  /** The admin API key, and whether this start made it. */
  readonly adminKey: { readonly text: string; readonly isNew: boolean };
  /** The same as over HTTP, without a socket. */
  request(request: LocalRequest): Promise<LocalAnswer>;
  /** Drains and closes everything; resolves when it is safe to exit. */
  close(): Promise<void>;
}

/**
 * Starts a server. `all` listens on the configured address; `callback` answers only the browser's part of an
 * authorization there; `none` opens no socket.
 */
export async function startApp(_settings: Settings, _listen: 'all' | 'callback' | 'none'): Promise<RunningApp> {
  throw new Error('startApp is being written');
}
