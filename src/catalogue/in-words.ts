/** What a provider's rules mean, in sentences for people: the same in the API, the commands and the pages. */
import { DIAGNOSES } from '../core/diagnosis.ts';
import { classOf, type RotationPolicy } from '../core/rotation-policy.ts';
import type { Fact, Provider, ProviderError } from './provider.ts';

/** May the same refresh token be presented again after a lost answer? A few words, for a column. */
export function againInWords(provider: Provider): string {
  if (!givesRefreshTokens(provider)) return 'gives no refresh token';
  const rule = classOf(provider.policy);
  switch (rule.class) {
    case 'durable':
      return 'yes, always';
    case 'window':
      return `for ${timeInWords(rule.windowMs)}`;
    case 'until-successor-used':
      return 'until its successor is used';
    case 'until-successor-used-within':
      return `until its successor is used, at most ${timeInWords(rule.windowMs)}`;
    case 'last-n':
      return `while fewer than ${rule.depth} newer ones exist`;
    case 'one-time':
      return 'no; a second time is refused';
    case 'one-time-revoking':
      return 'no; a second time may end the grant';
  }
}

/** How refresh tokens come and go. */
export function rotationInWords(provider: Provider): readonly string[] {
  const { policy } = provider;
  if (!givesRefreshTokens(provider)) {
    return ['There is no refresh token: an access token does not expire, so there is nothing to keep alive.'];
  }
  if (gradeOf(provider, '/policy/rotate/mode') === null) {
    return ['Whether a refresh token is replaced when it is used was read nowhere, so it is treated as if it were.'];
  }
  const verb = gradeOf(provider, '/policy/rotate/mode') === 'inferred' ? 'may bring' : 'brings';
  return [modeInWords(policy.rotate, verb), ...accessInWords(policy.access), ...reuseInWords(provider)];
}

function modeInWords({ mode, agedPercent, notWithinMs }: RotationPolicy['rotate'], verb: string): string {
  if (mode === 'never') return 'A refresh token stays the same when it is used.';
  if (mode === 'aged') return `A refresh token is replaced once ${agedPercent} percent of its life have passed.`;
  const pause = notWithinMs > 0 ? `, but not within ${timeInWords(notWithinMs)} of the last time` : '';
  return `Each use of a refresh token ${verb} another one${pause}.`;
}

function accessInWords(access: RotationPolicy['access']): readonly string[] {
  if (access === 'keep') return [];
  const which = access === 'revoke-all' ? 'every earlier access token' : 'the access token before it';
  return [`A refresh ends ${which} at once.`];
}

/** Said only where it is known. */
function reuseInWords(provider: Provider): readonly string[] {
  if (gradeOf(provider, '/policy/on_reuse/refresh') === null) return [];
  const { refresh, access } = provider.policy.onReuse;
  if (refresh === 'reject') return ['Presenting a dead refresh token gives an error and does no other harm.'];
  const which = refresh === 'revoke-family' ? 'its whole chain' : 'every chain of the app and the account';
  const also = access === 'revoke' ? ', access tokens included' : '';
  return [`Presenting a dead refresh token ends ${which}${also}.`];
}

/** What becomes of a grant when the answer to an exchange is lost on its way. */
export function lossInWords(provider: Provider): string {
  if (!givesRefreshTokens(provider)) return 'Nothing: nothing is ever exchanged.';
  const rule = classOf(provider.policy);
  switch (rule.class) {
    case 'durable':
      return 'Nothing is lost. The same refresh token is presented again.';
    case 'window':
      return `Nothing is lost for ${timeInWords(rule.windowMs)}: the same refresh token is presented again in that time. Later, a person must authorize again.`;
    case 'until-successor-used':
      return 'Nothing is lost: nobody has the successor, so the same refresh token is still good and is presented again.';
    case 'until-successor-used-within':
      return `Nothing is lost for ${timeInWords(rule.windowMs)} from the first use: nobody has the successor, so the same refresh token is presented again in that time. Later, a person must authorize again.`;
    case 'last-n':
      return `Nothing is lost until ${rule.depth} answers in a row are: the same refresh token is presented again.`;
    case 'one-time':
      return 'The successor is lost with it. The same refresh token is presented once more, which does no harm; if the exchange had taken place, a person must authorize again.';
    case 'one-time-revoking':
      return 'The successor is lost with it. The same refresh token is presented once more when a request still on its way would have arrived; if the exchange had taken place, a person must authorize again.';
  }
}

/** What an answer says about the grant. */
export function meaningInWords({ means }: ProviderError): string {
  if (means === 'invalid_grant') return 'The refresh token is dead; the answer does not tell of what.';
  if (means === 'throttled') return 'Too many requests. The grant is alive.';
  return DIAGNOSES[means].cause;
}

export function givesRefreshTokens({ grantTypes }: Provider): boolean {
  return grantTypes?.includes('refresh_token') ?? true;
}

/** Whether a person can give an app of this provider access. */
export function canBeAuthorized({ grantTypes }: Provider): boolean {
  return grantTypes?.includes('authorization_code') ?? true;
}

/** How well something is known: by the fact about it, or about what it is part of. Null where there is none. */
export function gradeOf(provider: Provider, pointer: string): Fact['grade'] | null {
  const facts = provider.facts ?? [];
  for (let at = pointer; at !== ''; at = at.slice(0, at.lastIndexOf('/'))) {
    const fact = facts.find((one) => one.about === at);
    if (fact) return fact.grade;
  }
  return null;
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
] as const;

/** `10 minutes`, `9.5 minutes`, `30 days`: the largest unit that says it with one decimal at most. */
export function timeInWords(ms: number): string {
  if (ms === Number.POSITIVE_INFINITY) return 'any time';
  const seconds = ms / 1000;
  const unit = UNITS.find(([, size]) => seconds >= size && Number.isInteger((seconds / size) * 2));
  const [name, size] = unit ?? ['second', 1];
  const count = seconds / size;
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}
