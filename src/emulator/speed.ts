/** Fast time: an emulator at speed N plays every duration of its policy divided by N, in whole seconds rounded down. */
import type { RotationPolicy } from '../core/rotation-policy.ts';

export const DAY_MS = 86_400_000;

export function atSpeed(policy: RotationPolicy, speed: number): RotationPolicy {
  if (speed === 1) return policy;
  const { rotate, overlap, life, pacing } = policy;
  const divide = (ms: number) => divided(ms, speed);
  return {
    ...policy,
    rotate: {
      ...rotate,
      notWithinMs: divide(rotate.notWithinMs),
      untilFamilyAgeMs: divide(rotate.untilFamilyAgeMs),
    },
    overlap: { ...overlap, windowMs: divide(overlap.windowMs) },
    reuseMemoryMs: divide(policy.reuseMemoryMs),
    life: {
      ...life,
      idleMs: divide(life.idleMs),
      absoluteMs: divide(life.absoluteMs),
      accessTokenMs: life.accessTokenMs === null ? null : divide(life.accessTokenMs),
      codeMs: life.codeMs === null ? null : divide(life.codeMs),
    },
    pacing: { ...pacing, minSpacingMs: divide(pacing.minSpacingMs) },
  };
}

/** Whole seconds, rounded down. Infinity stays. */
export function divided(ms: number, speed: number): number {
  if (ms === Number.POSITIVE_INFINITY || speed === 1) return ms;
  return Math.floor(ms / speed / 1000) * 1000;
}

/** As a client in real time sees it: a day of the emulator is shorter, so more calls fit into a real one. */
export function asSeenInRealTime(policy: RotationPolicy, speed: number): RotationPolicy {
  return { ...policy, pacing: { ...policy.pacing, perDay: policy.pacing.perDay * speed } };
}
