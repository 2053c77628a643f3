/**
 * One request to Evergrant's HTTP API over the platform's `fetch`, and nothing else: no retry, no redirect. It knows
 * no runtime, so it works in Node, browsers and workers alike.
 */

export interface ApiRequest {
  /** Scheme, host and port, as in `http://127.0.0.1:8787`. */
  readonly origin: string;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** Path and query, as in `/v1/grants?limit=10`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Gives up waiting; what was sent may still take effect. */
  readonly timeoutMs?: number;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** No answer came. `refused`: nobody listens at that address, so nothing was asked. */
export class NoAnswer extends Error {
  readonly refused: boolean;

  constructor(origin: string, cause: unknown) {
    super(`No answer from ${origin} (${reasonOf(cause)})`, { cause });
    this.name = 'NoAnswer';
    this.refused = reasonOf(cause) === 'ECONNREFUSED';
  }
}

/** Sends it and reads the whole answer; rejects with `NoAnswer` and nothing else. */
export async function request(wanted: ApiRequest): Promise<ApiAnswer> {
  const { origin, method, path, headers, body, timeoutMs } = wanted;
  try {
    const answer = await fetch(`${origin}${path}`, {
      method,
      headers,
      redirect: 'manual',
      ...(body === undefined ? {} : { body }),
      ...(timeoutMs === undefined ? {} : { signal: AbortSignal.timeout(timeoutMs) }),
    });
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() };
  } catch (cause) {
    throw new NoAnswer(origin, cause);
  }
}

/** The system's code for what went wrong, which `fetch` hides one or two causes deep. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if ('code' in error && typeof error.code === 'string') return error.code;
  if (error.cause !== undefined) return reasonOf(error.cause);
  if (error instanceof AggregateError) return reasonOf(error.errors[0]);
  return error.name === 'TimeoutError' ? 'timed out' : error.message;
}
