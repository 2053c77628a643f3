/** The provider file of an emulated server: what a keeper is to believe about exactly this server, as it is played. */
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { Paths } from './form.ts';

/** Whole seconds; a limit that is not there is null. */
function seconds(ms: number | null): number | null {
  return ms === null || ms === Number.POSITIVE_INFINITY ? null : ms / 1000;
}

const limit = (value: number) => (value === Number.POSITIVE_INFINITY ? null : value);

export function policyInFile({ rotate, overlap, onReuse, reuseMemoryMs, life, caps, pacing, access }: RotationPolicy) {
  return {
    rotate: {
      mode: rotate.mode,
      aged_percent: rotate.mode === 'aged' ? rotate.agedPercent : null,
      not_within: seconds(rotate.notWithinMs),
      until_family_age: seconds(rotate.untilFamilyAgeMs),
    },
    overlap: {
      window: seconds(overlap.windowMs),
      from: overlap.from,
      depth: limit(overlap.depth),
      successor_unused: overlap.successorUnused,
      join: overlap.join,
      successor_use: overlap.successorUse,
      max_uses: limit(overlap.maxUses),
      answer: overlap.answer,
    },
    on_reuse: onReuse,
    reuse_memory: seconds(reuseMemoryMs),
    life: {
      idle: seconds(life.idleMs),
      idle_from: life.idleFrom,
      absolute: seconds(life.absoluteMs),
      access_token: seconds(life.accessTokenMs),
      code: seconds(life.codeMs),
    },
    caps: {
      tokens_per_user_client: limit(caps.tokensPerUserClient),
      families_per_user_client: limit(caps.familiesPerUserClient),
      live_access_tokens: limit(caps.liveAccessTokens),
    },
    pacing: { min_spacing: seconds(pacing.minSpacingMs), per_day: limit(pacing.perDay) },
    access,
  };
}

/** A provider file as JSON. */
export type Document = Readonly<Record<string, unknown>>;

/** The file of the real provider, with every address moved to the emulated server. */
export function movedFile(
  document: Document,
  baseUrl: string,
  { id, paths, policy, issuerPath }: { id: string; paths: Paths; policy: RotationPolicy; issuerPath: string | null },
): Record<string, unknown> {
  const { $schema: _, ...rest } = document;
  const at = (path: string | null) => (path === null ? null : `${baseUrl}${path}`);
  const isDiscovered = !document.token_endpoint;
  const identity = document.identity as { readonly endpoint: string } | null | undefined;
  return {
    ...rest,
    id: `${id}-emulated`,
    name: `${String(document.name)} (emulated)`,
    variables: {},
    issuer: at(issuerPath),
    authorization_endpoint: isDiscovered ? null : at(paths.authorize),
    token_endpoint: isDiscovered ? null : at(paths.token),
    refresh_endpoint: at(paths.refresh),
    revocation_endpoint: isDiscovered ? null : at(paths.revoke),
    device_authorization_endpoint: isDiscovered ? null : at(paths.device),
    api_base_urls: paths.api.map((path) => `${baseUrl}${path.replace(/\/$/, '')}`),
    token_endpoint_auth_methods: playable(document.token_endpoint_auth_methods),
    ...(identity ? { identity: { ...identity, endpoint: `${baseUrl}${pathAndQuery(identity.endpoint)}` } } : {}),
    ...(document.login ? { login: { origins: [baseUrl] } } : {}),
    policy: hasExchange(document)
      ? policyInFile(policy)
      : { life: { access_token: policyInFile(policy).life.access_token } },
    changes: [],
    facts: [],
  };
}

/** A provider without exchanges has no rules for them. */
function hasExchange({ grant_types_supported: grants }: Document): boolean {
  return !Array.isArray(grants) || grants.includes('refresh_token');
}

/** Ways to authenticate that are played; a provider that takes only others is played with a secret. */
function playable(methods: unknown): readonly unknown[] {
  const given: readonly unknown[] = Array.isArray(methods) ? methods : [];
  const kept = given.filter((one) => one === 'client_secret_post' || one === 'client_secret_basic' || one === 'none');
  return kept.length > 0 ? kept : ['client_secret_post'];
}

export function pathAndQuery(address: string): string {
  const path = address.replace(/^https?:\/\/[^/?]*/, '');
  return path.startsWith('/') ? path : `/${path}`;
}
