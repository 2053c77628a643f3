import { expect, test } from 'vitest';
import { readPointer } from '../oauth/json-pointer.ts';
import { formNamed, type Said, TestClient } from './client.fixture.ts';
import { FAULTS, type FaultName, type FaultSpec } from './faults.ts';

/** One of each kind: own rules, rotating with and without grace, durable, answers of another shape. */
const FORMS = ['exact-online', 'auth0', 'truelayer', 'truelayer-2019', 'google', 'xero', 'slack', 'withings'];
const names = Object.keys(FAULTS) as FaultName[];
const kinds = FORMS.flatMap((form) => names.map((fault) => [form, fault] as const));

interface Struck {
  readonly said: Said;
  /** Access tokens that were issued, the first one included. */
  readonly issued: number;
  readonly client: TestClient;
  readonly presented: string;
}

async function strike(form: string, spec: FaultSpec): Promise<Struck> {
  const client = new TestClient({ form: formNamed(form), seed: 9 });
  const { refreshToken } = client.server.grant();
  client.at(600).server.addFaults([spec]);
  const said = await client.refresh(refreshToken);
  const issued = client.server.ledger().flatMap((one) => one.issued).length;
  return { said, issued, client, presented: refreshToken };
}

const BEFORE: readonly FaultName[] = [
  'drop-before-commit',
  'tls-error',
  'dns-failure',
  'http-500',
  'http-502',
  'http-503',
  'http-429',
  'spurious-chain-id',
];

test.each(FORMS.flatMap((form) => BEFORE.map((fault) => [form, fault] as const)))(
  '%s, %s: nothing happened, and the same token is good',
  async (form, fault) => {
    const { client, issued, presented } = await strike(form, { fault });
    expect(issued).toBe(0);
    expect(client.server.ledger().at(-1)?.decision).toBe('not processed');
    const again = await client.refresh(presented);
    expect(readPointer(JSON.parse(again.text), accessPointer(client))).toEqual(expect.any(String));
  },
);

const AFTER: readonly FaultSpec[] = [
  { fault: 'drop-after-commit' },
  { fault: 'hang' },
  { fault: 'truncate-body' },
  { fault: 'reset-mid-body', at: 'after-refresh-token' },
  { fault: 'slow-drip' },
  { fault: 'delay' },
  { fault: 'http-500', commit: 'after' },
  { fault: 'http-503', commit: 'after' },
  { fault: 'bad-json' },
  { fault: 'wrong-content-type' },
  { fault: 'status-201' },
  { fault: 'omit-token-type' },
];

test.each(FORMS.flatMap((form) => AFTER.map((spec) => [form, spec.fault, spec] as const)))(
  '%s, %s: tokens were issued, and the answer is late, cut, or another one',
  async (form, _, spec) => {
    const { said, issued, client } = await strike(form, spec);
    expect(issued).toBeGreaterThan(0);
    const plain = new TestClient({ form: formNamed(form), seed: 9 });
    const { refreshToken } = plain.server.grant();
    const good = await plain.at(600).refresh(refreshToken);
    const isWhole = spec.fault === 'delay' || spec.fault === 'slow-drip';
    if (isWhole) expect(said.text).toBe(good.text);
    else expect(said).not.toEqual(good);
    if (spec.fault === 'delay') expect(client.waits).toEqual([1000]);
  },
);

test.each(['exact-online', 'auth0', 'xero', 'withings', 'truelayer-2019'])(
  '%s: a refresh token may be missing, the old one, damaged, or dead on arrival',
  async (form) => {
    const tokenOf = ({ said, client }: Struck) => readPointer(JSON.parse(said.text), client.form.members.refreshToken);
    expect(tokenOf(await strike(form, { fault: 'omit-refresh-token' }))).toBeUndefined();
    const same = await strike(form, { fault: 'same-refresh-token' });
    expect(tokenOf(same)).toBe(same.presented);
    const flipped = await strike(form, { fault: 'bit-flip' });
    expect(flipped.client.server.ledger().at(-1)?.issued).toHaveLength(2);
    const dead = await strike(form, { fault: 'dead-on-arrival' });
    for (const one of [flipped, dead]) {
      const said = await one.client.at(1200).refresh(String(tokenOf(one)));
      expect(readPointer(JSON.parse(said.text), accessPointer(one.client))).toBeUndefined();
    }
  },
);

test.each(FORMS)('%s: expires_in may be a text, a number, zero or missing', async (form) => {
  const life = async (as: NonNullable<FaultSpec['as']>) => {
    const { said, client } = await strike(form, { fault: 'expires-in', as });
    return readPointer(JSON.parse(said.text), client.form.members.expiresIn);
  };
  expect([typeof (await life('string')), typeof (await life('number'))]).toEqual(['string', 'number']);
  expect([await life(0), await life('missing')]).toEqual([0, undefined]);
});

test.each(kinds)('%s, %s: the same seed and requests give the same bytes', async (form, fault) => {
  const bytes = async () => {
    const { said, client, presented } = await strike(form, { fault });
    return [said, await client.at(1200).refresh(presented), client.server.ledger(), client.server.report()];
  };
  expect(await bytes()).toEqual(await bytes());
});

function accessPointer(client: TestClient): string {
  const { token_response } = client.server.providerFile('http://127.0.0.1:1') as {
    readonly token_response?: { readonly access_token?: string };
  };
  return token_response?.access_token ?? '/access_token';
}
