/** Policies that no server can have: a file that states one has a slip in it, and acting on it would lose chains. */
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { ProviderFile } from './schema.ts';
import type { Fault } from './wrong-file.ts';

export function policyFaults(policy: RotationPolicy, file: ProviderFile): readonly Fault[] {
  return [...rotationFaults(policy, file), ...spacingFaults(policy)];
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
  if (overlap.maxUses === 1 && overlap.windowMs > 0) {
    faults.push({ at: '/policy/overlap/max_uses', reason: 'one use in all leaves nothing for the window to allow' });
  }
  return faults;
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
