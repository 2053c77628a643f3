/** A store whose failures can be told from slips of the program: whatever it rejects with is a `StoreFailure`. */
import { EvergrantError } from '../core/errors.ts';
import { LeaseLost, type Store, StoreFailure } from '../ports/store.ts';

export function withToldFailures<S extends Store>(store: S): S {
  const parts = { chains: told(store.chains), records: told(store.records), nodes: told(store.nodes) };
  const check = () => store.check().catch(fail);
  return { ...store, ...parts, check };
}

type Call = (...given: unknown[]) => unknown;

function told<P extends object>(port: P): P {
  const calls = Object.entries(port as Record<string, Call>).map(([name, call]) => [
    name,
    async (...given: unknown[]) => {
      try {
        return await call(...given);
      } catch (cause) {
        return fail(cause);
      }
    },
  ]);
  return Object.fromEntries(calls) as P;
}

function fail(cause: unknown): never {
  if (cause instanceof EvergrantError || cause instanceof LeaseLost) throw cause;
  throw new StoreFailure(cause);
}
