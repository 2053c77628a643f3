/** What an emulator keeps of each request: tokens by their texts, for ever, and the newest entries of the ledger. */
import { describe, expect, test } from 'vitest';
import type { Instant } from '../core/instant.ts';
import { Ledger } from './ledger.ts';
import { Register } from './register.ts';

const text = (kind: string, i: number) => `${kind}.${String(i).padStart(4, '0').repeat(70)}.ends`;

describe('tokens', () => {
  test('each of thousands is found by the text that was issued, whatever was issued since', () => {
    const register = new Register();
    const issued = Array.from({ length: 2_000 }, (_, i) => [
      register.addRefreshToken(text('r', i)),
      register.addAccessToken(text('a', i)),
    ]).flat();
    expect(new Set(issued.map((one) => one.id)).size).toBe(4_000);
    for (const token of issued) {
      expect(register.find(token.text)).toBe(token.id);
      expect(register.textOf(token.id)).toBe(token.text);
    }
  });

  test('a text that differs in any place is none of them', () => {
    const register = new Register();
    const { text: known } = register.addRefreshToken(text('r', 1));
    const changed = Array.from(
      known,
      (one, i) => `${known.slice(0, i)}${one === 'A' ? 'B' : 'A'}${known.slice(i + 1)}`,
    );
    for (const other of [...changed, known.slice(1), `${known}A`, `A${known}`, '']) {
      expect(register.find(other), other).toBeNull();
    }
  });
});

describe('the ledger', () => {
  test('keeps the newest 50,000 requests, and their numbers', () => {
    const ledger = new Ledger(String);
    const usual = {
      endpoint: 'api',
      method: 'GET',
      path: '/',
      app: null,
      user: null,
      reason: null,
      fault: null,
    } as const;
    const tokens = { presented: null, issued: null, issuedAccess: null };
    for (let i = 1; i <= 50_003; i++) {
      ledger.add({ ...usual, ...tokens, at: (i * 1000) as Instant, decision: `the ${i}th`, status: 200 });
    }
    const entries = ledger.entries();
    expect(entries.length).toBe(50_000);
    expect(entries[0]).toMatchObject({ n: 4, decision: 'the 4th', time: '1970-01-01T00:00:04.000Z' });
    expect(entries.at(-1)).toMatchObject({ n: 50_003, decision: 'the 50003th', status: 200 });
  });
});
