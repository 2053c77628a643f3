/**
 * A person with a browser, as far as an authorization needs one: plain pages are fetched and their forms are posted,
 * with cookies, a password and a code from the authenticator app. No page is skipped.
 */
import { type ApiAnswer, request } from '../../client/request.ts';
import type { Emulator } from '../../emulator.ts';

export interface Person {
  readonly username: string;
  readonly password: string;
}

const ANSWER_MS = 10_000;
const MOST_PAGES = 10;

/** From the authorization link to the page that says "Connected". */
export async function authorize(link: string, person: Person, provider: Emulator): Promise<void> {
  const browser = new Browser();
  let page = await browser.get(link);
  for (let i = 0; i < MOST_PAGES; i++) {
    const form = /<form method="post"(?: action="([^"]*)")?>([\s\S]*?)<\/form>/.exec(page.body);
    if (!form) break;
    page = await browser.post(form[1] ?? '', fill(form[2] ?? '', person, provider));
  }
  if (page.status !== 200) throw new Error(`the authorization ended with status ${page.status}: ${page.body}`);
}

/** What a person types into each field of a form. */
function fill(form: string, person: Person, provider: Emulator): URLSearchParams {
  const fields = new URLSearchParams();
  for (const [input] of form.matchAll(/<(?:input|button)\b[^>]*>/g)) {
    const name = /\bname="([^"]*)"/.exec(input)?.[1];
    const value = /\bvalue="([^"]*)"/.exec(input)?.[1] ?? 'on';
    if (name !== undefined) fields.set(name, typed(name, person, provider) ?? value);
  }
  return fields;
}

function typed(name: string, { username, password }: Person, provider: Emulator): string | null {
  if (name === 'username') return username;
  if (name === 'password') return password;
  if (name === 'code') return provider.control.totpCode(username);
  return name === 'decision' ? 'approve' : null;
}

/** Follows redirects and keeps cookies, per host. */
class Browser {
  readonly #cookies = new Map<string, Map<string, string>>();
  #at = '';

  get(url: string): Promise<ApiAnswer> {
    return this.#go('GET', new URL(url, this.#at || undefined));
  }

  post(action: string, fields: URLSearchParams): Promise<ApiAnswer> {
    return this.#go('POST', new URL(action, this.#at), fields.toString());
  }

  async #go(method: 'GET' | 'POST', url: URL, body?: string): Promise<ApiAnswer> {
    this.#at = url.href;
    const jar = this.#jarOf(url);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const type = body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' };
    const headers = { ...type, ...(cookie === '' ? {} : { cookie }) };
    const path = `${url.pathname}${url.search}`;
    const sent = { origin: url.origin, method, path, headers, timeoutMs: ANSWER_MS };
    const answer = await request(body === undefined ? sent : { ...sent, body });
    const [, name = '', value = ''] = /^([^=;]+)=([^;]*)/.exec(answer.headers['set-cookie'] ?? '') ?? [];
    if (name !== '') jar.set(name, value);
    const { location } = answer.headers;
    return location === undefined ? answer : this.get(location);
  }

  #jarOf({ host }: URL): Map<string, string> {
    const jar = this.#cookies.get(host) ?? new Map<string, string>();
    this.#cookies.set(host, jar);
    return jar;
  }
}
