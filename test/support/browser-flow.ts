/** Through a browser and back, on a bench: a grant is made or renewed by a person. */
import { Secret } from '../../src/core/secret.ts';
import type { CallbackParameters } from '../../src/keeper/keeper.ts';
import type { Bench } from './keeper-bench.ts';

export const callback = (state: string | null, change: Partial<CallbackParameters> = {}): CallbackParameters => ({
  state,
  code: new Secret('authorization code', 'the-code'),
  error: null,
  errorDescription: null,
  iss: null,
  ...change,
});

/** A pending grant, its link opened in a browser. */
export async function opened(world: Bench, alias = 'eol') {
  const grant = await world.keeper.grants.create({ app: world.app.id, alias });
  const { ticket } = await world.keeper.authorizations.begin(grant.id, {});
  const { location, browserCookie } = await world.keeper.authorizations.open(ticket);
  const url = new URL(location);
  return { grant, ticket, url, state: url.searchParams.get('state') ?? '', browserCookie };
}

export async function connected(world: Bench, alias = 'eol') {
  const { grant, state, browserCookie } = await opened(world, alias);
  const outcome = await world.clock.until(world.keeper.authorizations.finish(callback(state), browserCookie));
  return { grant, outcome };
}

export async function renewed(world: Bench, grant: string, change: Partial<CallbackParameters> = {}) {
  const { ticket } = await world.keeper.authorizations.begin(grant, {});
  const { location, browserCookie } = await world.keeper.authorizations.open(ticket);
  const state = new URL(location).searchParams.get('state');
  return world.clock.until(world.keeper.authorizations.finish(callback(state, change), browserCookie));
}
