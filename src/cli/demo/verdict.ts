/** How it ended, by the provider's ledger alone: which chains still hold, and which faults were really met. */
import type { Emulator } from '../../emulator.ts';

export interface Verdict {
  /** Users whose chain ended. */
  readonly broken: readonly string[];
  /** Requests that each fault struck, at the token endpoint. */
  readonly faults: Readonly<Record<string, number>>;
  readonly authorizations: number;
  readonly exchanges: number;
  readonly refusals: number;
  /** Calls that the API refused, by the true reason; `expired` where a token ended on its way there. */
  readonly callsRefused: Readonly<Record<string, number>>;
}

export function judge({ control }: Emulator, users: readonly string[]): Verdict {
  const requests = control.ledger().filter(({ endpoint }) => endpoint === 'token');
  const calls = control.ledger().filter(({ endpoint }) => endpoint === 'api');
  return {
    broken: users.filter((user) => !holds(control, user)),
    faults: countOf(requests.map(({ fault }) => fault)),
    authorizations: requests.filter(({ decision }) => decision === 'authorized').length,
    exchanges: requests.filter(({ decision, issued }) => decision !== 'authorized' && issued.length > 0).length,
    refusals: requests.filter(({ decision }) => decision === 'refused').length,
    callsRefused: countOf(calls.map(({ reason }) => reason)),
  };
}

function countOf(names: readonly (string | null)[]): Readonly<Record<string, number>> {
  const known = names.filter((name) => name !== null);
  return Object.fromEntries([...Map.groupBy(known, (name) => name)].map(([name, all]) => [name, all.length]));
}

/**
 * A chain holds when its user was asked once and never again, nothing ended it, its last exchange was answered in full,
 * and the API took the access token of that very answer.
 */
function holds(control: Emulator['control'], user: string): boolean {
  const families = control.families().filter((family) => family.user === user);
  const own = control.ledger().filter((entry) => entry.user === user);
  const last = own.findLast(({ endpoint }) => endpoint === 'token');
  const accessToken = last?.issued[1];
  if (families.length !== 1 || families[0]?.revoked !== null) return false;
  if (!last || last.fault !== null || last.status !== 200 || accessToken === undefined) return false;
  return own.some((entry) => entry.endpoint === 'api' && entry.status === 200 && entry.presented[0] === accessToken);
}
