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

test('a key that another node removed stops when that is heard, and is asked for while nothing can be heard', async () => {
  const parts = fakeParts();
  const one = await parts.apiKeys.create({ name: 'one', scopes: ['admin'] });
  const other = await parts.apiKeys.create({ name: 'other', scopes: ['admin'] });
  await parts.records.remove('api-key', one.key.id);
  parts.changes.tell({ kind: 'api-key', id: one.key.id });
  expect(parts.apiKeys.recall(one.text.reveal())).toBeNull();
  expect(await parts.apiKeys.verify(one.text.reveal())).toBeNull();
  expect(parts.apiKeys.recall(other.text.reveal())).not.toBeNull();

  await parts.records.remove('api-key', other.key.id);
  parts.changes.heardAgoMs = 1_001;
  parts.pass(1_001);
  expect(parts.apiKeys.recall(other.text.reveal())).toBeNull();
  expect(await parts.apiKeys.verify(other.text.reveal())).toBeNull();
  parts.changes.heardAgoMs = 0;
  expect(parts.apiKeys.recall(other.text.reveal())).toBeNull();
});

test('a key whose removal is heard while the store is asked for it is not remembered', async () => {
  const parts = fakeParts();
  const { key, text } = await parts.apiKeys.create({ name: 'ci', scopes: ['admin'] });
  parts.changes.tell({ kind: 'unsure' });
  const checking = parts.apiKeys.verify(text.reveal());
  parts.changes.tell({ kind: 'api-key', id: key.id });
  await checking;
  expect(parts.apiKeys.recall(text.reveal())).toBeNull();
});

test('the admin key of the settings counts whatever other nodes do', () => {
  const parts = fakeParts();
  parts.changes.heardAgoMs = Number.POSITIVE_INFINITY;
  parts.changes.tell({ kind: 'unsure' });
  parts.pass(1_000_000);
  expect(parts.apiKeys.recall(ADMIN_KEY)).not.toBeNull();
});

test('while the store is away, keys that were checked lately go on working, for five minutes', async () => {
  const parts = fakeParts();
  const { text } = await parts.apiKeys.create({ name: 'ci', scopes: ['admin'] });
  parts.records.find = () => Promise.reject(new Error('away'));
  parts.changes.heardAgoMs = Number.POSITIVE_INFINITY;
  parts.pass(300_000);
  expect(await parts.apiKeys.verify(text.reveal())).not.toBeNull();
  parts.pass(1);
  await expect(parts.apiKeys.verify(text.reveal())).rejects.toThrow('away');
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
