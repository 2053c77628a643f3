/** Takes a person through an authorization: prints the link and waits, or takes the address that a browser ended at. */
import { now, pause } from '../client/time.ts';
import { EvergrantError } from '../core/errors.ts';
import { type Api, items } from './api.ts';
import { asObject, type Json, text } from './json.ts';
import { printJson, say } from './output.ts';
import { Refused } from './problem.ts';
import { asking } from './prompt.ts';

const POLL_MS = 1_000;
const JOINED =
  'This account had a grant of the same app already, and a provider keeps one: that grant holds the new authorization. ' +
  'Share it, or connect another account or an app of its own.';

export interface AuthorizeOptions {
  readonly paste?: boolean;
  readonly json?: boolean;
}

/** A link that waits for a person. */
interface Waiting {
  readonly grant: string;
  readonly url: string;
  readonly expiresAt: string;
  /** How often each grant of the app had been authorized before, by id. */
  readonly before: ReadonlyMap<string, number>;
  readonly app: string;
}

/** How often the grants of an app were authorized so far: one more is how a finished authorization shows. */
async function generations(api: Api, app: string): Promise<ReadonlyMap<string, number>> {
  const grants = await Array.fromAsync(items(api, '/v1/grants', { app }));
  return new Map(grants.map((grant) => [text(grant, 'id'), generationOf(grant)]));
}

function generationOf(grant: Json): number {
  return Number(text(grant, 'generation'));
}

/** A new link for a grant that is there; gives the grant once it is authorized. */
export async function renewAndWait(api: Api, alias: string, options: AuthorizeOptions): Promise<Json> {
  const path = `/v1/grants/${encodeURIComponent(alias)}`;
  const grant = asObject(await api.call('GET', path));
  const app = text(grant, 'app');
  const before = await generations(api, app);
  const link = asObject(await api.call('POST', `${path}/renew`, {}));
  return finish(api, options, {
    grant: text(grant, 'id'),
    url: text(link, 'authorization_url'),
    expiresAt: text(link, 'expires_at'),
    app,
    before,
  });
}

/** The link that came with a new grant; gives the grant once it is authorized. */
export async function waitForNew(api: Api, pending: Json, options: AuthorizeOptions): Promise<Json> {
  const app = text(pending, 'app');
  return finish(api, options, {
    grant: text(pending, 'id'),
    url: text(pending, 'authorization_url'),
    expiresAt: text(pending, 'authorization_expires_at'),
    app,
    before: await generations(api, app),
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
    const grant = await look(api, waiting);
    if (generationOf(grant) > (waiting.before.get(text(grant, 'id')) ?? 0)) return grant;
    if (text(grant, 'state') === 'revoked') throw endedMeanwhile(waiting);
    if (!(now() < endsAt)) throw nobodyCame(waiting);
    await pause(POLL_MS);
  }
}

/** The grant; when it went up in an earlier one of the same account, that one. */
async function look(api: Api, waiting: Waiting): Promise<Json> {
  try {
    return asObject(await api.call('GET', `/v1/grants/${waiting.grant}`));
  } catch (error) {
    if (!(error instanceof Refused && error.problem.code === 'not_found')) throw error;
    const grants = await Array.fromAsync(items(api, '/v1/grants', { app: waiting.app }));
    const renewed = grants.find((grant) => generationOf(grant) > (waiting.before.get(text(grant, 'id')) ?? Infinity));
    if (!renewed) throw endedMeanwhile(waiting);
    say(JOINED);
    return renewed;
  }
}

function endedMeanwhile({ grant }: Waiting): EvergrantError {
  return new EvergrantError('grant_revoked', `${grant} was ended while the link was open.`, {
    remedy: 'See what there is: evergrant grants list',
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
  if (outcome.joined === true) say(JOINED);
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
