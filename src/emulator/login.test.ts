import { describe, expect, test } from 'vitest';
import { CALLBACK, FORM, type Said, TestClient } from './client.fixture.ts';

const actionOf = (said: Said) => /action="([^"]+)"/.exec(said.text)?.[1] ?? '';
const headingOf = (said: Said) => /<h1>([^<]+)<\/h1>/.exec(said.text)?.[1];

/** A browser without scripts: fills in the form that it is shown. */
class Person {
  readonly client: TestClient;
  page: Said | null = null;

  constructor(client = new TestClient()) {
    this.client = client;
  }

  async visit(query: Record<string, string> = {}): Promise<Said> {
    this.page = await this.client.authorize(query);
    return this.page;
  }

  async submit(fields: Record<string, string>): Promise<Said> {
    const action = this.page ? actionOf(this.page) : '';
    this.page = await this.client.send('POST', action, FORM, String(new URLSearchParams(fields)));
    return this.page;
  }

  async signIn(): Promise<Said> {
    const { username, password } = this.client.server.defaultUser();
    return this.submit({ username, password });
  }

  async verify(): Promise<Said> {
    return this.submit({ code: this.client.server.totpCode() });
  }

  get location(): URL {
    return new URL(this.page?.headers.location ?? 'http://nowhere');
  }
}

describe('signing in', () => {
  test('password, verification code and consent lead back to the app with a code that works', async () => {
    const person = new Person();
    expect(headingOf(await person.visit())).toBe('Sign in');
    expect(headingOf(await person.signIn())).toBe('Two-step verification');
    expect(headingOf(await person.verify())).toBe('Allow access?');
    expect((await person.submit({ decision: 'approve' })).status).toBe(302);
    expect(person.location.searchParams.get('state')).toBe('s');
    expect((await person.client.redeem(person.location.searchParams.get('code') ?? '')).status).toBe(200);
  });

  test('denying leads back with access_denied', async () => {
    const person = new Person();
    await person.visit();
    await person.signIn();
    await person.verify();
    await person.submit({ decision: 'deny' });
    expect(String(person.location)).toBe(`${CALLBACK}?error=access_denied&state=s`);
  });

  test('a wrong user and a wrong password get the same words', async () => {
    const person = new Person();
    await person.visit();
    const wrongUser = await person.submit({ username: 'nobody', password: 'x' });
    const { username } = person.client.server.defaultUser();
    const wrongPassword = await person.submit({ username, password: 'x' });
    const words = (said: Said) => /role="alert">([^<]+)/.exec(said.text)?.[1];
    expect(words(wrongUser)).toBeTruthy();
    expect(words(wrongUser)).toBe(words(wrongPassword));
    expect(headingOf(await person.signIn())).toBe('Two-step verification');
  });

  test('[S69] a verification code of the step before is accepted, an older one and a used one are not', async () => {
    const person = new Person();
    const code = person.client.server.totpCode();
    await person.visit();
    await person.signIn();
    person.client.at(61);
    expect(headingOf(await person.submit({ code }))).toBe('Two-step verification');
    person.client.at(30);
    expect(headingOf(await person.submit({ code }))).toBe('Allow access?');
    await person.visit();
    await person.signIn();
    const again = await person.submit({ code });
    expect(again.text).toContain('This code was used already');
  });

  test('[S29] every authorization asks for password and code: no cookie is set', async () => {
    const person = new Person();
    const pages = [await person.visit(), await person.signIn(), await person.verify()];
    expect(pages.map((page) => page.headers['set-cookie'])).toEqual([undefined, undefined, undefined]);
    expect(headingOf(await person.visit())).toBe('Sign in');
  });

  test('a form works for one authorization and once', async () => {
    const person = new Person();
    const page = await person.visit();
    await person.signIn();
    await person.verify();
    await person.submit({ decision: 'approve' });
    const said = await person.client.send('POST', actionOf(page), FORM, 'decision=approve');
    expect([said.status, headingOf(said)]).toEqual([400, 'This page is no longer valid']);
  });

  test('what was typed is shown as text, never as markup', async () => {
    const person = new Person();
    await person.visit();
    const said = await person.submit({ username: '"><script>alert(1)</script>', password: 'x' });
    expect(said.text).not.toContain('<script>');
    expect(said.headers['content-security-policy']).toContain("default-src 'none'");
  });

  test('login faults change the password, the secret, or the page', async () => {
    const person = new Person();
    const { server } = person.client;
    const { username, password } = server.defaultUser();
    await person.visit();
    server.addFaults([{ fault: 'user-password-changed' }]);
    expect(headingOf(await person.submit({ username, password }))).toBe('Sign in');
    server.addFaults([{ fault: 'captcha-on-login' }]);
    expect(headingOf(await person.visit())).toBe('Are you a person?');
    server.addFaults([{ fault: 'login-page-changed' }]);
    expect((await person.visit()).text).toContain('name="account"');
    const code = server.totpCode();
    server.addFaults([{ fault: 'totp-reset' }]);
    expect(headingOf(await person.signIn())).toBe('Two-step verification');
    expect((await person.submit({ code })).text).toContain('This code is not right');
    expect(headingOf(await person.verify())).toBe('Allow access?');
  });
});

test('faults strike the pages too, and the ledger names them', async () => {
  const person = new Person();
  const { server } = person.client;
  server.addFaults([{ fault: 'http-503', match: { endpoint: 'authorize' } }]);
  expect((await person.visit()).status).toBe(503);
  await person.visit();
  server.addFaults([{ fault: 'drop-after-commit', match: { endpoint: 'login' } }]);
  expect((await person.signIn()).delivery).toBe('none');
  expect(server.ledger().at(-1)).toMatchObject({ decision: 'password right', fault: 'drop-after-commit' });
});

describe('what the app asks for', () => {
  test('an unknown app or address gets a page, never a redirect', async () => {
    const person = new Person();
    for (const query of [
      { client_id: 'unknown' },
      { redirect_uri: 'https://attacker.example/callback' },
      { redirect_uri: 'http://127.0.0.1.attacker.example/callback' },
      { redirect_uri: 'http://127.0.0.1:8787/callback/../elsewhere' },
      { redirect_uri: 'http://127.0.0.1:99999/callback' },
    ]) {
      const said = await person.visit(query);
      expect([said.status, said.headers.location]).toEqual([400, undefined]);
    }
  });

  test('any loopback port with the path /callback is accepted, since this is a server for tests', async () => {
    const person = new Person();
    for (const uri of ['http://localhost:1234/callback', 'http://[::1]:5/callback', 'http://127.0.0.1/callback']) {
      expect((await person.visit({ redirect_uri: uri })).status).toBe(200);
    }
  });

  test('another response type is refused at the app', async () => {
    const person = new Person();
    await person.visit({ response_type: 'id_token' });
    expect(String(person.location)).toBe(`${CALLBACK}?error=unsupported_response_type&state=s`);
  });
});

test('a test may decide beforehand: approve, deny, and once or from now on', async () => {
  const person = new Person();
  person.client.server.preselect({ decision: 'deny', user: null, once: true });
  await person.visit();
  expect(person.location.searchParams.get('error')).toBe('access_denied');
  expect(headingOf(await person.visit())).toBe('Sign in');
  person.client.server.preselect({ decision: 'approve', user: null, once: false });
  for (let i = 0; i < 2; i++) {
    await person.visit();
    expect(person.location.searchParams.get('code')).toMatch(/^stampNL001/);
  }
});
