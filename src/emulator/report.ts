/**
 * Why clients lost their chains, in words. The wire hides it on purpose; here it is told from what the server knows:
 * which token was presented when, what had been used before it, and which answers never arrived.
 */
import type { Family, FamilyToken } from '../core/family.ts';
import { type Instant, toRfc3339 } from '../core/instant.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { Context } from './context.ts';
import type { TokenRefusal } from './form.ts';
import type { Incident } from './incidents.ts';

export interface Report {
  readonly chains: readonly ChainReport[];
  /** The same as a text to read. */
  readonly text: string;
}

export interface ChainReport {
  readonly user: string;
  readonly app: string;
  readonly family: string;
  readonly startedAt: string;
  readonly exchanges: number;
  /** lost: the last thing the client heard of it was a refusal. ended: no token of it is good, and nobody asked yet. */
  readonly state: 'alive' | 'lost' | 'ended';
  readonly lostAt: string | null;
  readonly reason: TokenRefusal | null;
  /** Sentences. */
  readonly story: readonly string[];
}

export function reportOn(context: Context): Report {
  const chains = [...context.upstream.families.all()]
    .filter((family) => family.tokens.length > 0)
    .map((family) => chainReport(context, family));
  const strangers = context.incidents.unknown().map((one) => strangerSentence(context, one));
  return { chains, text: textOf(chains, strangers) };
}

function textOf(chains: readonly ChainReport[], strangers: readonly string[]): string {
  const lost = chains.filter((one) => one.state === 'lost');
  const ended = chains.filter((one) => one.state === 'ended');
  const alive = chains.length - lost.length - ended.length;
  const head = `${count(chains.length, 'chain')}: ${alive} alive, ${lost.length} lost, ${ended.length} ended without being missed.`;
  const stories = [...lost, ...ended].map(({ family, user, story }) => `${family} of ${user}: ${story.join(' ')}`);
  return `${[head, ...stories, ...strangers].join('\n')}\n`;
}

function chainReport(context: Context, family: Family): ChainReport {
  const { accounts, policy } = context.upstream;
  const incident = context.incidents.of(family.id).at(-1);
  const isLost = incident !== undefined;
  const isOver =
    family.revoked !== null || family.tokens.every((one) => one.evictedAt !== null || one.displacedAt !== null);
  const user = accounts.userById(family.user)?.username ?? family.user;
  const teller = new Teller(context, family, nameOf(user), policy);
  return {
    user,
    app: accounts.apps.get(family.client)?.name ?? family.client,
    family: family.id,
    startedAt: toRfc3339(family.startedAt),
    exchanges: family.tokens.reduce((sum, one) => sum + one.uses, 0),
    state: isLost ? 'lost' : isOver ? 'ended' : 'alive',
    lostAt: isLost ? toRfc3339(incident.at) : null,
    reason: isLost ? incident.reason : null,
    story: isLost ? teller.loss(incident) : isOver ? [teller.end()] : [],
  };
}

/** `emma.devries@example.com` is emma. */
const nameOf = (user: string) => /^[\w-]+/.exec(user)?.[0] ?? user;

class Teller {
  readonly #context: Context;
  readonly #family: Family;
  readonly #name: string;
  readonly #policy: RotationPolicy;

  constructor(context: Context, family: Family, name: string, policy: RotationPolicy) {
    this.#context = context;
    this.#family = family;
    this.#name = name;
    this.#policy = policy;
  }

  loss(incident: Incident): readonly string[] {
    const token = this.#family.tokens.find((one) => one.id === String(incident.token));
    if (!token) return [`A token of ${this.#name} was presented that is not of this chain.`];
    return [this.#refused(token, incident), ...this.#unreceived(token), ...this.#remedy(token)];
  }

  #refused(token: FamilyToken, { at, reason }: Incident): string {
    const it = this.#called(token);
    switch (reason) {
      case 'superseded':
        return this.#superseded(token, at);
      case 'expired-in-use':
        return `${it} was presented again ${span(at, token.firstUsedAt)} after its first use; ${this.#overlap()}.${this.#price()}`;
      case 'displaced':
        return `${it} was presented, but its place had been taken ${span(at, token.displacedAt)} before: ${this.#displacer(token)}.`;
      case 'expired-idle':
        return `${it} was presented ${span(at, this.#idleSince(token))} after its last use; unused it lives ${length(this.#policy.life.idleMs)}.`;
      case 'expired-absolute':
        return `${it} was presented ${span(at, this.#family.startedAt)} after the authorization; the chain lives ${length(this.#policy.life.absoluteMs)} in all, however often it is used.`;
      case 'consent-ended':
        return `${it} was presented ${span(at, this.#family.consentEndsAt)} after the consent had ended.`;
      case 'evicted':
        return `${it} was presented ${span(at, token.evictedAt)} after it had been removed: newer tokens of the same user and app took the last of ${this.#policy.caps.tokensPerUserClient} places.`;
      case 'revoked':
        return `${it} was presented. ${this.end()}`;
      case 'token-of-another-client':
        return `${it} was presented by an app to which it was not issued.`;
      default:
        return `${it} was presented and refused: ${reason}.`;
    }
  }

  #superseded(token: FamilyToken, at: Instant): string {
    const successor = this.#family.tokens.find((one) => one.parent === token.id && one.activatedAt !== null);
    const use = successor && this.#useOf(successor);
    if (!successor || !use || successor.activatedAt === null) {
      const back = this.#family.latestGeneration - token.generation;
      return `${this.#called(token)} was presented again although it lies ${count(back, 'link')} back in the chain.${this.#price()}`;
    }
    return `${this.#called(token)} was presented again ${span(at, successor.activatedAt)} after ${this.#short(successor)} had been used ${use}; from then on only newer tokens count.${this.#price()}`;
  }

  #useOf({ firstUsedAt, activatedAt }: FamilyToken): string {
    return firstUsedAt !== null && activatedAt === firstUsedAt ? 'for an exchange' : 'by an API call';
  }

  #overlap(): string {
    const { windowMs, successorUnused } = this.#policy.overlap;
    if (windowMs === 0) return 'each token can be presented once';
    return `a spent token may be presented for ${length(windowMs)}${successorUnused ? ', while its successor is unused' : ''}`;
  }

  #price(): string {
    return this.#family.revoked?.reason === 'reuse' ? ' That ended the whole chain, newer tokens too.' : '';
  }

  #displacer(token: FamilyToken): string {
    const rows = this.#family.tokens;
    const parent = rows.find((one) => one.id === token.parent);
    const later = rows.find(
      (one) => one.parent === token.parent && one.issuedAt >= (token.displacedAt ?? 0) && one !== token,
    );
    if (!parent || !later) return 'the server had made it invalid';
    return `${this.#short(parent)} was presented once more before it was used, and ${this.#short(later)} came of that`;
  }

  #idleSince(token: FamilyToken): Instant {
    return this.#policy.life.idleFrom === 'issue' ? token.issuedAt : (token.lastUsedAt ?? token.issuedAt);
  }

  /** Answers with newer tokens that did not reach the client as they were meant to. */
  #unreceived(token: FamilyToken): readonly string[] {
    return this.#family.tokens
      .filter((one) => one === token || one.parent === token.id)
      .flatMap((one) => {
        const fault = this.#context.incidents.faultOf(Number(one.id));
        return fault === null ? [] : [`The answer that brought ${this.#short(one)} was struck by ${fault}.`];
      });
  }

  #remedy(token: FamilyToken): readonly string[] {
    if (this.#family.revoked) return [];
    const isAlive = (one: FamilyToken) =>
      one.firstUsedAt === null && one.displacedAt === null && one.evictedAt === null;
    const alive = this.#family.tokens.findLast(isAlive);
    if (!alive || alive === token) return [];
    return [`T${this.#short(alive).slice(1)} is still good: whoever holds it can go on.`];
  }

  end(): string {
    const { revoked, tokens } = this.#family;
    if (!revoked)
      return tokens.some((one) => one.evictedAt !== null)
        ? 'Its tokens were removed to make room for newer ones.'
        : 'Its last token is dead.';
    const when = toRfc3339(revoked.at);
    switch (revoked.reason) {
      case 'reauthorized':
        return `The chain ended at ${when}, when the same user authorized the same app anew: only the newest authorization counts.`;
      case 'reuse':
        return `The chain ended at ${when}, when a spent token came a second time; since then all its tokens are refused.`;
      case 'chain-reset':
        return `The server lost the chain at ${when}; no client did anything wrong.`;
      case 'revoked':
        return `The authorization was withdrawn at ${when}.`;
    }
  }

  #called(token: FamilyToken): string {
    return `T${this.#short(token).slice(1)} of ${this.#name}`;
  }

  /** Numbered in the order of issue, the first is 1. */
  #short(token: FamilyToken): string {
    return `token ${this.#family.tokens.indexOf(token) + 1}`;
  }
}

function strangerSentence({ upstream }: Context, { at, token, reason }: Incident): string {
  const text = upstream.textOf(token);
  const isTwin = (id: string) => differsLittle(upstream.textOf(Number(id)), text);
  const twin = [...upstream.families.all()].flatMap((one) => one.tokens).find((one) => isTwin(one.id));
  const guess = twin
    ? ' It differs from one that was in a single character: a bit flipped on the way or in storage.'
    : '';
  const what =
    reason === 'malformed' ? 'A text that is no refresh token' : 'A refresh token that was never issued here';
  return `${what} was presented at ${toRfc3339(at)}.${guess}`;
}

function differsLittle(a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  return a.slice(0, -1) === b.slice(0, -1);
}

const count = (n: number, what: string) => `${n} ${what}${n === 1 ? '' : 's'}`;
const span = (to: Instant, from: Instant | null) => length(to - (from ?? to));

/** In the largest unit that leaves at least two of it. */
function length(ms: number): string {
  if (!Number.isFinite(ms)) return 'without limit';
  const units = [
    [86_400_000, 'day'],
    [3_600_000, 'hour'],
    [60_000, 'minute'],
    [1000, 'second'],
  ] as const;
  const [unit, name] = units.find(([size]) => ms >= 2 * size) ?? [1000, 'second'];
  return count(Math.round(ms / unit), name);
}
