/** What can go wrong in a simulation: the rows of the README's table, as things that can be done. */

export interface FaultKind {
  /** Its row in the table. */
  readonly row: string;
  readonly about: string;
}

export const FAULTS = {
  unreachable: { row: 'F1', about: 'the provider cannot be reached for up to ten minutes' },
  request_lost: { row: 'F1', about: 'a request never arrives' },
  answer_lost: { row: 'F2', about: 'an answer never arrives: reset, or silence until the time-out' },
  answer_cut_early: { row: 'F2', about: 'an answer ends before its refresh token' },
  answer_cut_late: { row: 'F2b', about: 'an answer ends after its refresh token' },
  answer_late: { row: 'F3', about: 'an answer takes up to 110 seconds' },
  crash_before_processing: { row: 'F4', about: 'the node dies before the provider acts' },
  crash_after_processing: { row: 'F5', about: 'the node dies after the provider acted, before the answer is here' },
  crash_at_receipt: { row: 'F6', about: 'the node dies between receipt and its journal' },
  crash_later: { row: 'F7', about: 'the node dies at a later step' },
  store_fails: { row: 'F8', about: 'calls of the store fail' },
  store_unconfirmed: { row: 'F9', about: 'calls of the store take effect and seem to fail' },
  store_down: { row: 'F10', about: 'the store is down for up to ten minutes' },
  store_slow: { row: 'F8b', about: 'for up to a minute answers of the store come late, and others write meanwhile' },
  disk_full: { row: 'F11', about: "the node's disk is full for up to an hour" },
  pause: { row: 'F12', about: 'a node stands still for up to five minutes' },
  request_late: { row: 'F12', about: 'a request arrives minutes after it was given up' },
  clock_jump: { row: 'F13', about: "a node's clock is set back or forth by up to an hour, or its machine starts anew" },
  server_error_after: { row: 'F14', about: 'the provider rotates and answers 5xx' },
  provider_restored: { row: 'F15', about: 'the provider goes back to a backup' },
  store_restored: { row: 'F16', about: 'our store goes back to a backup; the journals are there' },
  provider_slow: { row: 'F17', about: 'the provider takes a minute' },
  duplicate_delivery: { row: 'F18', about: 'a request is delivered twice' },
  copies_destroyed: { row: 'F19', about: 'our store goes back to a backup and every journal is lost' },
  long_absence: { row: 'F20', about: 'the keeper is away for longer than an unused token lives' },
  revoked: { row: 'F21', about: 'the owner revokes the authorization' },
  used_elsewhere: { row: 'F22', about: 'another system uses the refresh token' },
  provider_error: { row: 'F14b', about: 'the provider answers 500, 503, 429 or a page of HTML, and did nothing' },
  chain_unknown: { row: 'F15b', about: 'the provider says once that it does not know the chain' },
} as const satisfies Record<string, FaultKind>;

export type Fault = keyof typeof FAULTS;
export const ALL_FAULTS = Object.keys(FAULTS) as readonly Fault[];

/** Those that no rule and no program can do anything about; a run about recovery leaves them out. */
export const ENDINGS: readonly Fault[] = [
  'copies_destroyed',
  'long_absence',
  'revoked',
  'used_elsewhere',
  'provider_restored',
];

/** A fault that struck. */
export interface Injury {
  readonly at: number;
  readonly fault: Fault;
}

/** Those that strike one request on the wire. */
export type WireFault = Extract<
  Fault,
  | 'request_lost'
  | 'answer_lost'
  | 'answer_cut_early'
  | 'answer_cut_late'
  | 'answer_late'
  | 'crash_before_processing'
  | 'crash_after_processing'
  | 'request_late'
  | 'server_error_after'
  | 'provider_slow'
  | 'duplicate_delivery'
  | 'provider_error'
  | 'chain_unknown'
>;

const ON_WIRE: ReadonlySet<Fault> = new Set<WireFault>([
  'request_lost',
  'answer_lost',
  'answer_cut_early',
  'answer_cut_late',
  'answer_late',
  'crash_before_processing',
  'crash_after_processing',
  'request_late',
  'server_error_after',
  'provider_slow',
  'duplicate_delivery',
  'provider_error',
  'chain_unknown',
]);

export function isOnWire(fault: Fault): fault is WireFault {
  return ON_WIRE.has(fault);
}
