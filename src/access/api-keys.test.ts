import { expect, test } from 'vitest';
import { EvergrantError } from '../core/errors.ts';
import { Secret } from '../core/secret.ts';
import { ADMIN_KEY, fakeParts } from '../http/fake-keeper.ts';
import { apiKeys, may } from './api-keys.ts';

test('a new key is evg_ and 43 characters, and only its SHA-256 is stored', async () => {
  const { apiKeys: keys, records } = fakeParts();
  const { text } = await keys.create({ name: 'ci', scopes: ['token'] });
  expect(text.reveal()).toMatch(/^evg_[A-Za-z0-9_-]{43}$/);
  expect(String(text)).toBe('[api key]');
  expect(JSON.stringify([...records.rows])).not.toContain(text.reveal());
});

test('a key that was seen once is checked without a query', async () => {
  const parts = fakeParts();
  const { text } = await parts.apiKeys.create({ name: 'ci', scopes: ['token'] });
  const fresh = apiKeys({ ...parts, adminKey: new Secret('api key', ADMIN_KEY) });
  expect(fresh.recall(text.reveal())).toBeNull();
  expect((await fresh.verify(text.reveal()))?.scopes).toEqual(['token']);
  const before = parts.records.queries.length;
  for (let i = 0; i < 100; i++) expect(fresh.recall(text.reveal())).not.toBeNull();
  expect(parts.records.queries.length).toBe(before);
});

test('a removed key stops at once, and is not let in again by a check that was under way', async () => {
  const parts = fakeParts();
  const { key, text } = await parts.apiKeys.create({ name: 'ci', scopes: ['admin'] });
  const slow = apiKeys({ ...parts, adminKey: new Secret('api key', ADMIN_KEY) });
  const checking = slow.verify(text.reveal());
  await slow.remove(key.id);
  await checking;
  expect(slow.recall(text.reveal())).toBeNull();
  expect(await slow.verify(text.reveal())).toBeNull();
});

test('a key that another node removed stops within seconds', async () => {
  const parts = fakeParts();
  const { key, text } = await parts.apiKeys.create({ name: 'ci', scopes: ['admin'] });
  await parts.records.remove('api-key', key.id);
  parts.pass(16_000);
  parts.apiKeys.recall(text.reveal());
  await new Promise((resolve) => setImmediate(resolve));
  expect(parts.apiKeys.recall(text.reveal())).toBeNull();
});

test('while the store is away, known keys go on working', async () => {
  const parts = fakeParts();
  const { text } = await parts.apiKeys.create({ name: 'ci', scopes: ['admin'] });
  parts.records.find = () => Promise.reject(new Error('away'));
  parts.pass(60_000);
  parts.apiKeys.recall(text.reveal());
  await new Promise((resolve) => setImmediate(resolve));
  expect(parts.apiKeys.recall(text.reveal())).not.toBeNull();
});

test('an admin key with fewer than 32 characters stops the start and is not shown', () => {
  const parts = fakeParts();
  const make = () => apiKeys({ ...parts, adminKey: new Secret('api key', 'short-secret') });
  expect(make).toThrow(EvergrantError);
  expect(make).not.toThrow(/short-secret/);
});

test('the admin key of the settings may do everything, a token key only read tokens', async () => {
  const { apiKeys: keys } = fakeParts();
  const admin = await keys.verify(ADMIN_KEY);
  expect(admin && may(admin, 'token') && may(admin, 'admin')).toBe(true);
  const { text } = await keys.create({ name: 'reader', scopes: ['token'] });
  const reader = await keys.verify(text.reveal());
  expect(reader && may(reader, 'token')).toBe(true);
  expect(reader && may(reader, 'admin')).toBe(false);
});

test('a text that cannot be a key costs no query', async () => {
  const { apiKeys: keys, records } = fakeParts();
  expect(await keys.verify('guess')).toBeNull();
  expect(records.queries).toEqual([]);
});
