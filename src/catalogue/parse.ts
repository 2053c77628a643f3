/**
 * A provider file becomes a `Provider`, once, at the door: camelCase, milliseconds, `Infinity` for no limit, and the
 * safest reading for what is left out. Nobody behind it knows the names and units of the file.
 */
import { EvergrantError } from '../core/errors.ts';
import { type RotationPolicy, UNKNOWN_POLICY } from '../core/rotation-policy.ts';
import type { Reach } from '../ports/network.ts';
import { addressFaults } from './addresses.ts';
import { policyFaults } from './possible.ts';
import type { ApiLimits, Provider, ProviderCredentials } from './provider.ts';
import { type ProviderFile, providerFile } from './schema.ts';
import { type Fault, faultsOf, wrongFile } from './wrong-file.ts';
import { STANDARD_TOKEN_RESPONSE } from './standard.ts';

/** A file as it lies on disk. `name` is how messages call it. */
export interface FileText {
  readonly name: string;
  readonly text: string;
}

/** Reads JSON; throws `setting` with the file and, where the engine tells it, the line. */
export function parseJson(file: FileText): unknown {
  try {
    return JSON.parse(file.text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const line = lineOf(file.text, reason);
    throw new EvergrantError('setting', `${file.name}${line && ` line ${line}`} is not JSON: ${reason}`, {
      cause,
      remedy: 'Correct the file. JSON has no comments and no comma after the last member.',
    });
  }
}

function lineOf(text: string, reason: string): string {
  const position = /position (\d+)/.exec(reason)?.[1];
  return position === undefined ? '' : String(text.slice(0, Number(position)).split('\n').length);
}

/** Checks form and sense of one file and gives the provider. Throws `setting` that names every fault and its place. */
export function parseProvider(name: string, document: unknown, reach: Reach): Provider {
  const parsed = providerFile.safeParse(document);
  if (!parsed.success) throw wrongFile(name, faultsOf(parsed.error));
  const file = parsed.data;
  const provider = toProvider(file, reach);
  const faults: readonly Fault[] = [...addressFaults(file, reach), ...policyFaults(provider.policy, file)];
  if (faults.length > 0) throw wrongFile(name, faults);
  return provider;
}

function toProvider(file: ProviderFile, reach: Reach): Provider {
  return {
    id: file.id,
    name: file.name,
    category: file.category ?? null,
    reach,
    variables: variablesOf(file),
    issuer: file.issuer ?? null,
    authorizationEndpoint: file.authorization_endpoint ?? null,
    tokenEndpoint: file.token_endpoint ?? null,
    refreshEndpoint: file.refresh_endpoint ?? null,
    revocationEndpoint: file.revocation_endpoint ?? null,
    deviceAuthorizationEndpoint: file.device_authorization_endpoint ?? null,
    apiBaseUrls: file.api_base_urls ?? [],
    apiLimits: apiLimitsOf(file),
    tokenEndpointAuthMethods: file.token_endpoint_auth_methods ?? [],
    codeChallengeMethods: file.code_challenge_methods ?? [],
    grantTypes: grantTypesOf(file),
    credentials: credentialsOf(file),
    clientIdParameter: file.client_id_parameter ?? 'client_id',
    authorizationResponseIss: file.authorization_response_iss_parameter_supported ?? false,
    authorizationParameters: file.authorization_parameters ?? {},
    ...wireOf(file),
    identity: file.identity ? { ...file.identity, label: file.identity.label ?? null } : null,
    policy: policyOf(file.policy ?? {}),
    errors: (file.errors ?? []).map((one) => ({
      status: one.status ?? null,
      error: one.error ?? null,
      description: one.description ?? null,
      body: one.body ?? {},
      means: one.means,
    })),
    notes: file.notes ?? [],
    facts: file.facts ?? [],
  };
}

/** Without a token endpoint there are none. */
function grantTypesOf(file: ProviderFile): NonNullable<Provider['grantTypes']> {
  const hasTokens = Boolean(file.token_endpoint ?? file.issuer);
  return file.grant_types_supported ?? (hasTokens ? ['authorization_code', 'refresh_token'] : []);
}

function credentialsOf({ credentials = {} }: ProviderFile): ProviderCredentials {
  const { client_credentials, jwt_bearer, password, api_key, basic } = credentials;
  const request = (
    said?: { readonly parameters?: Record<string, string> | undefined },
    audience: string | null = null,
  ) => said && { parameters: said.parameters ?? {}, audience };
  const requests = {
    client_credentials: request(client_credentials),
    jwt_bearer: request(jwt_bearer, jwt_bearer?.audience),
    password: request(password),
  };
  return {
    requests: Object.fromEntries(Object.entries(requests).filter(([, one]) => one)),
    headers: {
      ...(api_key ? { api_key: { header: api_key.header.toLowerCase(), prefix: api_key.prefix ?? '' } } : {}),
      ...(basic ? { basic: { header: 'authorization', prefix: 'Basic ' } } : {}),
    },
  };
}

/** Requests and answers; what is left out is as RFC 6749 has it. */
function wireOf(file: ProviderFile): Pick<Provider, 'scope' | 'tokenRequest' | 'tokenResponse'> {
  const answer = file.token_response ?? {};
  return {
    scope: {
      default: file.scope?.default ?? [],
      forRefreshToken: file.scope?.for_refresh_token ?? null,
      separator: file.scope?.separator ?? ' ',
    },
    tokenRequest: {
      format: file.token_request?.format ?? 'form',
      parameters: file.token_request?.parameters ?? {},
      refreshParameters: file.token_request?.refresh_parameters ?? {},
    },
    tokenResponse: {
      accessToken: answer.access_token ?? STANDARD_TOKEN_RESPONSE.accessToken,
      refreshToken: answer.refresh_token ?? STANDARD_TOKEN_RESPONSE.refreshToken,
      expiresIn: answer.expires_in ?? STANDARD_TOKEN_RESPONSE.expiresIn,
      expiresAt: answer.expires_at ?? null,
      scope: answer.scope ?? STANDARD_TOKEN_RESPONSE.scope,
      error: answer.error ?? STANDARD_TOKEN_RESPONSE.error,
      errorDescription: answer.error_description ?? STANDARD_TOKEN_RESPONSE.errorDescription,
    },
  };
}

function variablesOf(file: ProviderFile): Provider['variables'] {
  return Object.fromEntries(
    Object.entries(file.variables ?? {}).map(([name, variable]) => [
      name,
      {
        choices: variable.choices ?? null,
        default: variable.default ?? null,
        isIssuer: variable.is_issuer ?? false,
        isText: variable.is_text ?? false,
        ofResource: variable.of_resource ?? null,
      },
    ]),
  );
}

function apiLimitsOf({ api_limits: limits }: ProviderFile): ApiLimits | null {
  if (!limits) return null;
  const errors = limits.errors && {
    most: limits.errors.most,
    windowMs: limits.errors.window * 1000,
    statuses: limits.errors.statuses,
  };
  return { by: limits.by, errors: errors ?? null };
}

type PolicyFile = NonNullable<ProviderFile['policy']>;

function policyOf(file: PolicyFile): RotationPolicy {
  const unknown = UNKNOWN_POLICY;
  return {
    rotate: {
      mode: file.rotate?.mode ?? unknown.rotate.mode,
      agedPercent: file.rotate?.aged_percent ?? unknown.rotate.agedPercent,
      notWithinMs: ms(file.rotate?.not_within, unknown.rotate.notWithinMs),
      untilFamilyAgeMs: ms(file.rotate?.until_family_age, unknown.rotate.untilFamilyAgeMs),
    },
    overlap: overlapOf(file.overlap ?? {}),
    onReuse: {
      refresh: file.on_reuse?.refresh ?? unknown.onReuse.refresh,
      access: file.on_reuse?.access ?? unknown.onReuse.access,
    },
    reuseMemoryMs: ms(file.reuse_memory, unknown.reuseMemoryMs),
    life: {
      idleMs: ms(file.life?.idle, unknown.life.idleMs),
      idleFrom: file.life?.idle_from ?? unknown.life.idleFrom,
      absoluteMs: ms(file.life?.absolute, unknown.life.absoluteMs),
      accessTokenMs: msOrUnknown(file.life?.access_token),
      codeMs: msOrUnknown(file.life?.code),
    },
    caps: {
      tokensPerUserClient: count(file.caps?.tokens_per_user_client, unknown.caps.tokensPerUserClient),
      familiesPerUserClient: count(file.caps?.families_per_user_client, unknown.caps.familiesPerUserClient),
      liveAccessTokens: count(file.caps?.live_access_tokens, unknown.caps.liveAccessTokens),
    },
    pacing: {
      minSpacingMs: ms(file.pacing?.min_spacing, unknown.pacing.minSpacingMs),
      perDay: count(file.pacing?.per_day, unknown.pacing.perDay),
    },
    access: file.access ?? unknown.access,
  };
}

function overlapOf(file: NonNullable<PolicyFile['overlap']>): RotationPolicy['overlap'] {
  const unknown = UNKNOWN_POLICY.overlap;
  return {
    windowMs: ms(file.window, unknown.windowMs),
    from: file.from ?? unknown.from,
    depth: count(file.depth, unknown.depth),
    successorUnused: file.successor_unused ?? unknown.successorUnused,
    join: file.join ?? unknown.join,
    successorUse: file.successor_use ?? unknown.successorUse,
    maxUses: count(file.max_uses, unknown.maxUses),
    answer: file.answer ?? unknown.answer,
  };
}

function ms(seconds: number | null | undefined, left: number): number {
  if (seconds === undefined) return left;
  return seconds === null ? Number.POSITIVE_INFINITY : seconds * 1000;
}

function msOrUnknown(seconds: number | null | undefined): number | null {
  return seconds === undefined || seconds === null ? null : seconds * 1000;
}

function count(value: number | null | undefined, left: number): number {
  if (value === undefined) return left;
  return value ?? Number.POSITIVE_INFINITY;
}
