/** Policies that no server can have: a file that states one has a slip in it, and acting on it would lose chains. */
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { ProviderFile } from './schema.ts';
import type { Fault } from './wrong-file.ts';

export function policyFaults(policy: RotationPolicy, file: ProviderFile): readonly Fault[] {
  return [
    ...rotationFaults(policy, file),
    ...overlapFaults(policy),
    ...spacingFaults(policy),
    ...withoutTokenFaults(file),
    ...errorFaults(file.errors ?? []),
  ];
}

function rotationFaults({ rotate, overlap }: RotationPolicy, file: ProviderFile): readonly Fault[] {
  const faults: Fault[] = [];
  if (rotate.mode === 'never' && (overlap.windowMs > 0 || overlap.successorUnused)) {
    faults.push({ at: '/policy/overlap', reason: 'a token that never rotates has no successor to overlap with' });
  }
  const agedPercent = file.policy?.rotate?.aged_percent ?? null;
  if ((rotate.mode === 'aged') !== (agedPercent !== null)) {
    faults.push({ at: '/policy/rotate/aged_percent', reason: 'belongs to the mode "aged", and that mode needs it' });
  }
  return faults;
}

function overlapFaults({ overlap, life }: RotationPolicy): readonly Fault[] {
  const { windowMs, maxUses, successorUnused, join } = overlap;
  const faults: Fault[] = [];
  if (maxUses === 1 && windowMs > 0) {
    faults.push({ at: '/policy/overlap/max_uses', reason: 'one use in all leaves nothing for the window to allow' });
  }
  if (windowMs === 0 && successorUnused && join === 'and') {
    const reason = 'a window of 0 leaves nothing for it to allow; null is the window without end';
    faults.push({ at: '/policy/overlap/successor_unused', reason });
  }
  if (Number.isFinite(windowMs) && windowMs > Math.min(life.idleMs, life.absoluteMs)) {
    faults.push({ at: '/policy/overlap/window', reason: 'is longer than the refresh token lives' });
  }
  return faults;
}

/** A provider that gives no refresh token has no rules for one. */
function withoutTokenFaults({ grant_types_supported: grants, policy }: ProviderFile): readonly Fault[] {
  if (!grants || grants.includes('refresh_token')) return [];
  const reason = 'is about refresh tokens, and /grant_types_supported names none';
  return (['rotate', 'overlap', 'on_reuse'] as const)
    .filter((rule) => policy?.[rule])
    .map((rule) => ({ at: `/policy/${rule}`, reason }));
}

function spacingFaults({ pacing, life, overlap }: RotationPolicy): readonly Fault[] {
  const at = '/policy/pacing/min_spacing';
  const faults: Fault[] = [];
  if (pacing.minSpacingMs > Math.min(life.idleMs, life.absoluteMs)) {
    faults.push({ at, reason: 'is longer than the refresh token lives, so no exchange would ever be possible' });
  }
  if (overlap.windowMs > 0 && pacing.minSpacingMs > overlap.windowMs) {
    faults.push({ at, reason: 'is longer than the overlap window, so a lost answer could never be asked for again' });
  }
  return faults;
}

type ErrorEntry = NonNullable<ProviderFile['errors']>[number];

/** The first entry that fits decides, so one that takes every answer of a later one leaves that one without effect. */
function errorFaults(errors: readonly ErrorEntry[]): readonly Fault[] {
  return errors.flatMap((one, i) => {
    const at = `/errors/${i}`;
    if (takesAll(one)) return [{ at, reason: 'fits every answer; name a status, an error, a description or a body' }];
    const earlier = errors.findIndex((other, j) => j < i && other.means !== one.means && covers(other, one));
    return earlier === -1 ? [] : [{ at, reason: `is never reached: /errors/${earlier} fits all of it` }];
  });
}

function takesAll({ status, error, description, body }: ErrorEntry): boolean {
  return (status ?? error ?? description ?? null) === null && Object.keys(body ?? {}).length === 0;
}

function covers(wide: ErrorEntry, narrow: ErrorEntry): boolean {
  const sameOrAny = <T>(a: T | null | undefined, b: T | null | undefined) => (a ?? null) === null || a === b;
  const begins = narrow.description?.toLowerCase().startsWith((wide.description ?? '').toLowerCase()) ?? false;
  const places = Object.entries(wide.body ?? {});
  return (
    sameOrAny(wide.status, narrow.status) &&
    sameOrAny(wide.error, narrow.error) &&
    ((wide.description ?? null) === null || begins) &&
    places.every(([pointer, value]) => narrow.body?.[pointer] === value)
  );
}
