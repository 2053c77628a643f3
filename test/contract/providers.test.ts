/** The provider files that are shipped: their form, their sources, and the class of rotation that they amount to. */
import { readFileSync } from 'node:fs';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/catalogue/catalogue.ts';
import type { Provider } from '../../src/catalogue/provider.ts';
import { resolve } from '../../src/catalogue/resolve.ts';
import { jsonSchema } from '../../src/catalogue/schema.ts';
import type { Instant } from '../../src/core/instant.ts';
import { classOf, type PolicyClass } from '../../src/core/rotation-policy.ts';
import { readPointer } from '../../src/oauth/json-pointer.ts';
import { readProviderFiles } from '../../src/world/provider-files.ts';

const FOLDER = new URL('../../providers', import.meta.url).pathname;
const files = readProviderFiles(FOLDER);
const providers = catalogue({ builtIn: files, extra: [], now: () => Date.parse('2026-11-22') as Instant });

function provider(id: string): Provider {
  const found = providers.get(id);
  if (!found) throw new Error(`no provider ${id}`);
  return found;
}

/** May the same refresh token be presented again after a lost answer? In November 2026, by provider. */
const CLASSES: Readonly<Record<string, readonly string[]>> = {
  durable: [
    'adobe-acrobat-sign',
    'asana',
    'clio-manage',
    'google',
    'hubspot',
    'microsoft-entra',
    'netsuite',
    'square',
    'truelayer',
    'wise',
    'zoho',
  ],
  'one-time-revoking': [
    'adobe-ims',
    'adobe-workfront',
    'airlock-iam',
    'airtable',
    'airwallex',
    'amazon-lwa',
    'amazon-sp-api',
    'atlassian',
    'auth0',
    'bamboohr',
    'bitbucket',
    'brex',
    'calendly',
    'canva',
    'clickup',
    'clio-platform',
    'cognito',
    'confluence',
    'curity',
    'databricks',
    'datev',
    'deputy',
    'discord',
    'docusign',
    'dropbox',
    'ebay',
    'eventbrite',
    'figma',
    'fitbit',
    'fortnox',
    'freeagent',
    'freee',
    'freshbooks',
    'front',
    'garmin',
    'github-app',
    'gitlab',
    'gocardless',
    'gong',
    'google-health',
    'greenhouse',
    'gusto',
    'hmrc',
    'infor-os',
    'intercom',
    'iracing',
    'jira',
    'jobber',
    'keycloak',
    'kintone',
    'lightspeed-x',
    'linkedin',
    'make',
    'miro',
    'monday',
    'moneybird',
    'monzo',
    'myob',
    'notion',
    'oidc',
    'onelogin',
    'ory-hydra',
    'oura',
    'outreach',
    'paypal',
    'pingfederate',
    'pingone',
    'pinterest',
    'pipedrive',
    'ramp',
    'reddit',
    'resource',
    'sage-accounting',
    'sage-intacct',
    'salesforce',
    'servicenow',
    'slack',
    'smart-on-fhir',
    'smartsheet',
    'snapchat',
    'snowflake',
    'spotify',
    'starling',
    'strava',
    'stripe-apps',
    'stripe-connect',
    'teamleader',
    'tiktok',
    'tiktok-business',
    'tink',
    'twinfield',
    'twitch',
    'visma-connect',
    'visma-eaccounting',
    'webex',
    'whoop',
    'wix',
    'wrike',
    'wso2-asgardeo',
    'x',
    'zendesk',
    'zoom',
  ],
  'until-successor-used': ['box', 'silverfin'],
  'window 5 s': ['connect2id'],
  'until-successor-used-within 600 s': ['exact-online'],
  'window 86400 s': ['intuit', 'quickbooks-online'],
  'window 1800 s': ['linear', 'xero'],
  'window 30 s': ['okta'],
  'one-time': ['procore'],
  'until-successor-used-within 3600 s': ['ringcentral'],
  'until-successor-used-within 2592000 s': ['shopify'],
  'window 60 s': ['smartcar'],
  'until-successor-used-within 28800 s': ['withings'],
};

describe('the shipped files', () => {
  test('are named after their ids', () => {
    const named = providers.list().map(({ id }) => join(FOLDER, `${id}.json`));
    expect(files.map(({ name }) => name)).toEqual(named.toSorted());
  });

  test('are described by providers/schema.json, generated from the code', () => {
    expect(JSON.parse(readFileSync(join(FOLDER, 'schema.json'), 'utf8'))).toEqual(jsonSchema());
  });

  test.each(files.map(({ name, text }) => [name.slice(FOLDER.length + 1), text]))(
    '%s names the source of every figure and address',
    (_, text) => {
      const document = JSON.parse(text);
      const sourced = new Set<string>(document.facts.map((fact: { about: string }) => fact.about));
      const addresses = [
        'issuer',
        'authorization_endpoint',
        'token_endpoint',
        'refresh_endpoint',
        'revocation_endpoint',
      ];
      const needed = [
        ...figuresIn(document.policy, '/policy'),
        ...addresses.filter((key) => document[key] && document[key] !== '{issuer}').map((key) => `/${key}`),
        ...(document.identity ? ['/identity/endpoint'] : []),
        ...(document.errors ?? []).map((_error: unknown, i: number) => `/errors/${i}`),
        ...(document.changes ?? []).map((_change: unknown, i: number) => `/changes/${i}`),
      ];
      expect(needed.filter((pointer) => !sourced.has(pointer))).toEqual([]);
    },
  );

  test('state no time and no count from memory', () => {
    const guessed = providers
      .list()
      .flatMap(({ id, facts }) =>
        (facts ?? [])
          .filter(({ about, grade }) => grade === 'unverified' && about.startsWith('/policy'))
          .map(({ about }) => `${id} ${about}`),
      );
    expect(guessed).toEqual([]);
  });

  test.each(files.map(({ name, text }) => [name.slice(FOLDER.length + 1), text]))(
    '%s has facts about what it says, once each, and none that names a place of this machine',
    (_, text) => {
      const document = JSON.parse(text);
      const about: string[] = document.facts.map((fact: { about: string }) => fact.about);
      expect(about.filter((pointer) => readPointer(document, pointer) === undefined)).toEqual([]);
      expect(about).toEqual([...new Set(about)]);
      expect(text).not.toMatch(/\/(work|home|tmp)\//);
    },
  );

  test('[S6] give each provider the class of rotation that its rules amount to', () => {
    const classes = Map.groupBy(providers.list(), ({ policy }) => words(classOf(policy)));
    const listed = [...classes].map(([name, members]) => [name, members.map(({ id }) => id)]);
    expect(Object.fromEntries(listed)).toEqual(CLASSES);
  });

  test('leave out nothing that is only harmful to guess: unknown rules are one-time and revoking', () => {
    expect(CLASSES['one-time-revoking']).toEqual(expect.arrayContaining(['dropbox', 'reddit', 'starling', 'oidc']));
  });

  test('are read when they are asked for, so a start costs almost nothing', () => {
    const startedAt = performance.now();
    const fresh = catalogue({ builtIn: files, extra: [], now: () => 0 as Instant });
    expect(fresh.ids()).toHaveLength(files.length);
    expect(performance.now() - startedAt).toBeLessThan(150);
  });
});

function words(policy: PolicyClass): string {
  const detail = 'windowMs' in policy ? ` ${policy.windowMs / 1000} s` : 'depth' in policy ? ` ${policy.depth}` : '';
  return policy.class + detail;
}

describe('what changes on a date', () => {
  test.each<[string, string, string, string]>([
    ['truelayer', '2019-10-08', 'one-time-revoking', 'one use each, before'],
    ['truelayer', '2019-10-09', 'durable', 'durable, since then'],
    ['shopify', '2026-08-27', 'window 3600 s', 'an hour, before'],
    ['shopify', '2026-08-28', 'until-successor-used-within 2592000 s', 'until the successor is used, since then'],
  ])('%s on %s: %s (%s)', (id, day, expected) => {
    const then = catalogue({ builtIn: files, extra: [], now: () => Date.parse(`${day}T00:00:00Z`) as Instant });
    expect(words(classOf((then.get(id) ?? provider(id)).policy))).toBe(expected);
  });

  test('HubSpot is asked at another address from 2027-02-16 on', () => {
    const then = catalogue({ builtIn: files, extra: [], now: () => Date.parse('2027-02-16') as Instant });
    expect(provider('hubspot').tokenEndpoint).toBe('https://api.hubapi.com/oauth/v1/token');
    expect(then.get('hubspot')?.tokenEndpoint).toBe('https://api.hubapi.com/oauth/2026-03/token');
  });

  test('Spotify ends an authorization after six months since 2026-07-20', () => {
    const before = catalogue({ builtIn: files, extra: [], now: () => Date.parse('2026-07-19') as Instant });
    expect(before.get('spotify')?.policy.life.absoluteMs).toBe(Number.POSITIVE_INFINITY);
    expect(provider('spotify').policy.life.absoluteMs).toBe(15_768_000_000);
  });
});

/** Every number of a policy, by its place. */
function figuresIn(value: unknown, at: string): readonly string[] {
  if (typeof value === 'number') return [at];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => figuresIn(member, `${at}/${name}`));
}

describe('[S27] Exact Online', () => {
  test.each([
    ['nl', 'start.exactonline.nl'],
    ['be', 'start.exactonline.be'],
    ['de', 'start.exactonline.de'],
    ['fr', 'start.exactonline.fr'],
    ['es', 'start.exactonline.es'],
    ['uk', 'start.exactonline.co.uk'],
    ['us', 'start.exactonline.com'],
  ])('in %s is the same under another host', (country, host) => {
    const resolved = resolve(provider('exact-online'), { host: country });
    expect(resolved.tokenEndpoint).toBe(`https://${host}/api/oauth2/token`);
    expect(resolved.authorizationEndpoint).toBe(`https://${host}/api/oauth2/auth`);
    expect(resolved.identity?.endpoint).toBe(`https://${host}/api/v1/current/Me?$select=UserID,UserName`);
    expect(resolved.policy).toBe(provider('exact-online').policy);
  });
});

test('a company of one label is enough for Auth0, and any issuer for OpenID Connect', () => {
  expect(resolve(provider('auth0'), { tenant: 'acme', region: 'eu' }).tokenEndpoint).toBe(
    'https://acme.eu.auth0.com/oauth/token',
  );
  expect(resolve(provider('oidc'), { issuer: 'https://id.acme.test' }).issuer).toBe('https://id.acme.test');
});

describe('a folder of provider files', () => {
  test('that is not there stops the start with its name and the setting', () => {
    expect(() => readProviderFiles('/no/such/folder')).toThrow(
      expect.objectContaining({ code: 'setting', message: expect.stringContaining('/no/such/folder') }),
    );
  });

  test('with a file that is no JSON stops the start with file and line', () => {
    const folder = mkdtempSync(join(tmpdir(), 'providers-'));
    writeFileSync(join(folder, 'broken.json'), '{\n  "id": "x",\n');
    writeFileSync(join(folder, 'notes.txt'), 'not read');
    const load = () => catalogue({ builtIn: [], extra: readProviderFiles(folder), now: () => 0 as Instant });
    expect(load).toThrow(/broken\.json line \d is not JSON/);
  });
});
