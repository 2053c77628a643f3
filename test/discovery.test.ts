/** What an issuer said of itself is remembered: while it is away, nobody is kept from what is there already. */
import { expect, test } from 'vitest';
import { UNKNOWN_POLICY } from '../src/core/rotation-policy.ts';
import type { Network } from '../src/ports/network.ts';
import { bench } from './support/keeper-bench.ts';
import { json, ScriptedUpstream } from './support/scripted-upstream.ts';

const ISSUER = 'http://127.0.0.1';
const DISCOVERED = { issuer: ISSUER, authorizationEndpoint: null, tokenEndpoint: null, identity: null } as const;

/** An issuer whose metadata can be away while its token endpoint answers. */
function issuer() {
  const upstream = new ScriptedUpstream();
  const state = { isAway: false, asked: 0, silence: Promise.resolve() };
  const network: Network = {
    async open(url) {
      if (!url.includes('/.well-known/')) return upstream.open(url);
      state.asked++;
      if (state.isAway) return { kind: 'not_sent', reason: 'connection refused' };
      const endpoints = { authorization_endpoint: `${ISSUER}/auth`, token_endpoint: `${ISSUER}/token` };
      const send = async () => {
        await state.silence;
        return json(200, { issuer: ISSUER, ...endpoints });
      };
      return { kind: 'connection', send, close: () => undefined };
    },
  };
  return { upstream, state, network };
}

const secondOf = { minTtlMs: 1_000, waitMs: 0 };

test('after a restart a token that lives is served although the issuer cannot be discovered', async () => {
  const { state, network, upstream } = issuer();
  const world = await bench({ provider: DISCOVERED, policy: UNKNOWN_POLICY, network });
  const grant = await world.imported();
  state.isAway = true;
  await world.restart();
  const live = await world.keeper.tokens.get(grant.id, secondOf);
  expect(live.accessToken.reveal()).toBe('at-0-eol');
  expect((await world.keeper.tokens.refresh(grant.id)).accessToken.reveal()).toBe('at-1');
  expect(upstream.presented).toEqual(['rt-0-eol']);
});

test('the keeper starts, and takes an answer from its journal, although the issuer cannot be discovered', async () => {
  const { state, network, upstream } = issuer();
  const world = await bench({ provider: DISCOVERED, policy: UNKNOWN_POLICY, network });
  const grant = await world.imported();
  world.atStep((step) => (step === 'journaled' ? new Promise(() => undefined) : undefined));
  void world.keeper.tokens.refresh(grant.id).catch(() => undefined);
  await expect.poll(() => world.journal.records.map(({ purpose }) => purpose)).toContain('exchange');
  state.isAway = true;
  await world.restart();
  expect((await world.keeper.tokens.get(grant.id, secondOf)).accessToken.reveal()).toBe('at-1');
  expect(upstream.presented).toEqual(['rt-0-eol']);
});

test('an issuer that was away is asked again a minute later', async () => {
  const { state, network } = issuer();
  const world = await bench({ provider: DISCOVERED, policy: UNKNOWN_POLICY, network });
  const grant = await world.imported();
  state.isAway = true;
  await world.restart();
  await world.keeper.tokens.refresh(grant.id);
  const { asked } = state;
  state.isAway = false;
  await world.keeper.tokens.refresh(grant.id);
  expect(state.asked).toBe(asked);
  await world.clock.advance(60_000);
  await world.keeper.tokens.refresh(grant.id);
  expect(state.asked).toBe(asked + 1);
});

test('nobody waits for an issuer that is asked again, and takes its time', async () => {
  const { upstream, state, network } = issuer();
  const b = await bench({ provider: DISCOVERED, network });
  await b.imported();
  state.isAway = true;
  await b.restart();
  await b.keeper.tokens.get('eol', secondOf);
  await b.clock.advance(600_000);
  state.isAway = false;
  const answered = Promise.withResolvers<void>();
  state.silence = answered.promise;
  const asked = state.asked;
  // Its answer of before says where to exchange.
  await b.clock.until(b.keeper.tokens.get('eol', { minTtlMs: 5_000, waitMs: 30_000 }));
  expect(upstream.presented).toEqual(['rt-0-eol']);
  expect(state.asked).toBeGreaterThan(asked);
  answered.resolve();
});
