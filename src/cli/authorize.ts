/** Takes a person through an authorization: prints the link and waits, or takes the address that a browser ended at. */
import { now, pause } from '../client/time.ts';
import { EvergrantError } from '../core/errors.ts';
import type { Api } from './api.ts';
import { asObject, type Json, text } from './json.ts';
import { printJson, say } from './output.ts';
import { Refused } from './problem.ts';
import { asking } from './prompt.ts';

const POLL_MS = 1_000;

export interface AuthorizeOptions {
  readonly paste?: boolean;
  readonly json?: boolean;
}

/** A link that waits for a person. */
interface Waiting {
  readonly grant: string;
  readonly url: string;
  readonly expiresAt: string;
  /** Authorizations that the grant already had. */
  readonly generation: number;
}

/** A new link for a grant that is there; gives the grant once it is authorized. */
export async function renewAndWait(api: Api, alias: string, options: AuthorizeOptions): Promise<Json> {
  const path = `/v1/grants/${encodeURIComponent(alias)}`;
  const grant = asObject(await api.call('GET', path));
  const link = asObject(await api.call('POST', `${path}/renew`, {}));
  return finish(api, options, {
    grant: text(grant, 'id'),
    url: text(link, 'authorization_url'),
    expiresAt: text(link, 'expires_at'),
    generation: Number(text(grant, 'generation')),
  });
}

/** The link that came with a new grant; gives the grant once it is authorized. */
export function waitForNew(api: Api, pending: Json, options: AuthorizeOptions): Promise<Json> {
  return finish(api, options, {
    grant: text(pending, 'id'),
    url: text(pending, 'authorization_url'),
    expiresAt: text(pending, 'authorization_expires_at'),
    generation: 0,
  });
}

async function finish(api: Api, options: AuthorizeOptions, waiting: Waiting): Promise<Json> {
  if (options.paste) return paste(api, waiting, options);
  if (options.json) {
    const { grant, url, expiresAt } = waiting;
    printJson({ grant, authorization_url: url, expires_at: expiresAt });
  }
  say(`Open this link in a browser and allow the access (one use, ten minutes):\n\n  ${waiting.url}\n`);
  return poll(api, waiting);
}

async function poll(api: Api, waiting: Waiting): Promise<Json> {
  const endsAt = Date.parse(waiting.expiresAt);
  for (;;) {
    const grant = asObject(await api.call('GET', `/v1/grants/${waiting.grant}`));
    if (Number(text(grant, 'generation')) > waiting.generation) return grant;
    if (text(grant, 'state') === 'revoked') throw endedMeanwhile(waiting);
    if (!(now() < endsAt)) throw nobodyCame(waiting);
    await pause(POLL_MS);
  }
}

function endedMeanwhile({ grant }: Waiting): EvergrantError {
  return new EvergrantError('grant_revoked', `${grant} was ended while the link was open.`, {
    remedy: 'If the account had a grant already, that one holds the new authorization: evergrant grants list',
  });
}

function nobodyCame({ grant }: Waiting): EvergrantError {
  return new EvergrantError('authorization_pending', 'Nobody finished the authorization before the link ended.', {
    remedy: `Take a new link: evergrant grants renew ${grant}`,
  });
}

async function paste(api: Api, waiting: Waiting, options: AuthorizeOptions): Promise<Json> {
  const path = `/v1/grants/${waiting.grant}/authorization`;
  const opened = asObject(await api.call('POST', `${path}/open`, { ticket: waiting.url }));
  const location = text(opened, 'location');
  if (options.json) printJson({ grant: waiting.grant, location });
  say(`Open this address in a browser and allow the access:\n\n  ${location}\n`);
  say('The browser ends at an address that may not open. Copy the whole of it.');
  const url = await asking((asker) => asker.secret('The whole return address'));
  const outcome = asObject(await api.call('POST', `${path}/paste`, { ticket: waiting.url, url }));
  if (text(outcome, 'outcome') !== 'done') throw refused(outcome);
  if (outcome.joined === true) say('This account had a grant already: it holds the new authorization.');
  return asObject(outcome.grant);
}

function refused(outcome: Json): Refused {
  return new Refused({
    status: 409,
    code: 'authorization_required',
    title: 'The authorization failed',
    detail: text(outcome, 'reason') || 'The authorization failed.',
    remedy: text(outcome, 'remedy') || 'Start it again.',
  });
}
