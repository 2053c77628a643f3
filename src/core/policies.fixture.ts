/** One policy of each class, for tests. Exact Online's figures are those of its provider file. */
import { type RotationPolicy, UNKNOWN_POLICY } from './rotation-policy.ts';

const FOREVER = Number.POSITIVE_INFINITY;
const reject = { refresh: 'reject', access: 'keep' } as const;

function policy(
  change: {
    readonly [K in keyof RotationPolicy]?: RotationPolicy[K] extends object
      ? Partial<RotationPolicy[K]>
      : RotationPolicy[K];
  },
): RotationPolicy {
  const merged = Object.entries(UNKNOWN_POLICY).map(([key, value]) => {
    const changed = change[key as keyof RotationPolicy];
    return [
      key,
      typeof value === 'object' && typeof changed === 'object' ? { ...value, ...changed } : (changed ?? value),
    ];
  });
  return Object.fromEntries(merged);
}

export const POLICIES = {
  exact: policy({
    overlap: { windowMs: 600_000, successorUnused: true, successorUse: 'refresh-or-access' },
    onReuse: reject,
    life: { idleMs: 30 * 86_400_000, accessTokenMs: 600_000, codeMs: 180_000 },
    pacing: { minSpacingMs: 570_000 },
  }),
  durable: policy({ rotate: { mode: 'never' }, onReuse: reject }),
  window60s: policy({ overlap: { windowMs: 60_000 } }),
  untilSuccessorUsed: policy({
    overlap: { windowMs: FOREVER, depth: FOREVER, successorUnused: true },
    onReuse: reject,
  }),
  lastThree: policy({ overlap: { windowMs: FOREVER, depth: 3 }, onReuse: reject }),
  oneTime: policy({ onReuse: reject }),
  oneTimeRevoking: policy({}),
  revokingAccount: policy({ onReuse: { refresh: 'revoke-client-user', access: 'revoke' } }),
} as const;
