/** As much of autocannon 9 as the bench uses; the package has no types of its own. */
declare module 'autocannon' {
  interface Options {
    readonly url: string;
    readonly method: 'GET' | 'POST';
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: string;
    /** Called for each connection. */
    readonly setupClient?: (client: Client) => void;
    readonly connections: number;
    /** Seconds. */
    readonly duration: number;
  }

  interface Client {
    /** What it asks for in turns. */
    setRequests(requests: readonly Readonly<Record<string, unknown>>[]): void;
  }

  interface Result {
    readonly requests: { readonly average: number; readonly total: number };
    /** Milliseconds. */
    readonly latency: { readonly p50: number; readonly p99: number };
    readonly errors: number;
    readonly timeouts: number;
    readonly non2xx: number;
    /** Seconds. */
    readonly duration: number;
  }

  export default function autocannon(options: Options): Promise<Result>;
}
