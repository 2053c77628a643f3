/** The pages about providers: one each, made from its file alone, and the table of all. */
import { join } from 'node:path';
import {
  againInWords,
  canBeAuthorized,
  givesRefreshTokens,
  gradeOf,
  lossInWords,
  meaningInWords,
  rotationInWords,
  timeInWords,
} from '../src/catalogue/in-words.ts';
import { loadProvider } from '../src/catalogue/dated.ts';
import type { Provider, ProviderError } from '../src/catalogue/provider.ts';
import { type ProviderFile, providerFile } from '../src/catalogue/schema.ts';
import type { Instant } from '../src/core/instant.ts';
import { readProviderFiles } from '../src/world/provider-files.ts';

const FOLDER = join(import.meta.dirname, '..', 'providers');

/** A provider as its file shows it on the day of its newest fact. */
interface Described {
  readonly file: ProviderFile;
  readonly provider: Provider;
  readonly day: string;
}

const providers: readonly Described[] = readProviderFiles(FOLDER)
  .map((text) => {
    const file = providerFile.parse(JSON.parse(text.text));
    const day = (file.facts ?? []).map((fact) => fact.seen).reduce((a, b) => (a > b ? a : b), '2026-11-21');
    return { file, day, provider: loadProvider(text, 'public').at(Date.parse(day) as Instant) };
  })
  .toSorted((a, b) => a.provider.name.localeCompare(b.provider.name, 'en'));

/** Each page by its path in the repository. */
export function providerPages(made: string): Readonly<Record<string, () => string>> {
  const pages = providers.map((one) => [`docs/providers/${one.provider.id}.md`, () => `${made}${page(one)}`] as const);
  return { 'docs/providers/README.md': () => `${made}${overview()}`, ...Object.fromEntries(pages) };
}

function page(one: Described): string {
  const { provider, file, day } = one;
  const parts = [
    `\n# ${provider.name}`,
    `Provider \`${provider.id}\`${provider.category ? `, ${provider.category}` : ''}. ${useOf(provider)} As of ${day}; grades: [what they mean](README.md#grades).`,
    section('How it rotates', [rotationInWords(provider).join(' '), rules(provider)].filter(Boolean).join('\n\n')),
    section('When an answer is lost', lossInWords(provider)),
    section('Lives and limits', figures(provider)),
    section('What its errors mean', errors(provider.errors)),
    section('Addresses and requests', requests(provider)),
    section('Good to know', (provider.notes ?? []).map((note) => `- ${note}`).join('\n')),
    section('Changes', changes(file)),
    section('Sources', sources(file)),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

/** What the sources say of rotation in their own words. */
function rules({ facts }: Provider): string {
  const notes = (facts ?? []).filter(({ about }) => /^\/policy(\/(rotate|overlap|on_reuse)|$)/.test(about));
  return [...new Set(notes.flatMap(({ note }) => (note ? [`- ${note}`] : [])))].join('\n');
}

function useOf(provider: Provider): string {
  if (!canBeAuthorized(provider)) return 'Nothing can be connected; only what its answers mean is known.';
  if (!givesRefreshTokens(provider))
    return 'Without a refresh token there is no grant to keep, so it cannot be connected.';
  const names = Object.keys(provider.variables);
  const more = names.map((name) => ` --variable ${name}=…`).join('');
  return `Connect an account: \`evergrant apps add ${provider.id} --client-id …${more}\`, then \`evergrant connect APP\`.${withoutPerson(provider)}`;
}

/** How a grant is made that has a key or password instead of a person. */
function withoutPerson({ id, credentials }: Provider): string {
  const schemes = Object.keys({ ...credentials?.requests, ...credentials?.headers });
  return schemes.map((scheme) => ` Without a person: \`evergrant connect ${id} --scheme ${scheme}\`.`).join('');
}

function section(title: string, body: string): string {
  return body === '' ? '' : `## ${title}\n\n${body}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

function cell(words: string): string {
  return words.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ');
}

const LIMITS: readonly (readonly [
  name: string,
  pointer: string,
  words: (policy: Provider['policy']) => string | null,
])[] = [
  ['A refresh token, unused', '/policy/life/idle', ({ life }) => limit(life.idleMs)],
  ['An authorization, in all', '/policy/life/absolute', ({ life }) => limit(life.absoluteMs)],
  ['An access token', '/policy/life/access_token', ({ life }) => limit(life.accessTokenMs)],
  ['An authorization code', '/policy/life/code', ({ life }) => limit(life.codeMs)],
  ['A used refresh token lives on', '/policy/overlap/window', ({ overlap }) => overlapWords(overlap)],
  ['Between two exchanges', '/policy/pacing/min_spacing', ({ pacing }) => limit(pacing.minSpacingMs)],
  ['Exchanges a day', '/policy/pacing/per_day', ({ pacing }) => String(pacing.perDay)],
  [
    'Refresh tokens per account and app',
    '/policy/caps/tokens_per_user_client',
    ({ caps }) => String(caps.tokensPerUserClient),
  ],
  [
    'Authorizations per account and app',
    '/policy/caps/families_per_user_client',
    ({ caps }) => String(caps.familiesPerUserClient),
  ],
  ['Access tokens at a time', '/policy/caps/live_access_tokens', ({ caps }) => String(caps.liveAccessTokens)],
];

function limit(ms: number | null): string | null {
  return ms === null || ms === Number.POSITIVE_INFINITY ? null : timeInWords(ms);
}

function overlapWords({ windowMs, successorUnused }: Provider['policy']['overlap']): string {
  if (windowMs === 0) return 'not at all';
  const until = successorUnused ? ['until its successor is used'] : [];
  return (
    [...until, ...(windowMs === Number.POSITIVE_INFINITY ? [] : [timeInWords(windowMs)])].join(', at most ') || 'always'
  );
}

function figures(provider: Provider): string {
  const rows = LIMITS.flatMap(([name, pointer, words]) => {
    const grade = gradeOf(provider, pointer);
    const figure = words(provider.policy);
    return grade === null || figure === null || figure === 'Infinity' ? [] : [[name, figure, grade]];
  });
  return table(['what', 'figure', 'grade'], rows) || "None were read; an answer's own `expires_in` counts.";
}

function errors(known: readonly ProviderError[]): string {
  const rows = known.map((one) => [
    one.status === null ? 'any' : String(one.status),
    [one.error === null ? '' : `\`${one.error}\``, ...bodyOf(one)].filter(Boolean).join(', '),
    one.description === null ? '' : `${one.description} …`,
    `${meaningInWords(one)} (\`${one.means}\`)`,
  ]);
  const rest = 'Anything else is read as RFC 6749 section 5.2 has it.';
  return rows.length === 0 ? rest : `${table(['status', 'error', 'description begins', 'means'], rows)}\n\n${rest}`;
}

function bodyOf({ body }: ProviderError): readonly string[] {
  return Object.entries(body ?? {}).map(([pointer, value]) => `\`${pointer}\` is \`${value}\``);
}

function requests(provider: Provider): string {
  const { scope, tokenRequest } = provider;
  const address = (value: string | null) => (value === null ? '' : `\`${value}\``);
  const pairs = (values: Readonly<Record<string, string>>) =>
    Object.entries(values)
      .map(([name, value]) => `\`${name}=${value}\``)
      .join(' ');
  const rows: readonly (readonly [string, string, string])[] = [
    ['variables', Object.entries(provider.variables).map(variable).join('; '), '/variables'],
    ['issuer', address(provider.issuer), '/issuer'],
    ['authorization', address(provider.authorizationEndpoint), '/authorization_endpoint'],
    ['token', address(provider.tokenEndpoint), '/token_endpoint'],
    ['refresh', address(provider.refreshEndpoint), '/refresh_endpoint'],
    ['revocation', address(provider.revocationEndpoint), '/revocation_endpoint'],
    ['account', address(provider.identity?.endpoint ?? null), '/identity/endpoint'],
    ['client authentication', provider.tokenEndpointAuthMethods.join(', '), '/token_endpoint_auth_methods'],
    ['PKCE', provider.codeChallengeMethods.join(', '), '/code_challenge_methods'],
    ['scope for a refresh token', scope.forRefreshToken ?? '', '/scope/for_refresh_token'],
    ['with the authorization', pairs(provider.authorizationParameters), '/authorization_parameters'],
    ['with a code', pairs(tokenRequest.parameters), '/token_request/parameters'],
    ['with a refresh token', pairs(tokenRequest.refreshParameters), '/token_request/refresh_parameters'],
    ['body of requests', tokenRequest.format === 'json' ? 'JSON' : '', '/token_request/format'],
  ];
  const known = rows.filter(([, value]) => value !== '');
  return table(
    ['what', 'value', 'grade'],
    known.map(([what, value, at]) => [what, value, gradeOf(provider, at) ?? '']),
  );
}

function variable([name, { choices, default: preset, isIssuer, isText }]: [
  string,
  Provider['variables'][string],
]): string {
  const kind = choices
    ? `one of ${Object.entries(choices)
        .map(([choice, value]) => `${choice} (${value})`)
        .join(', ')}`
    : isIssuer
      ? 'a whole issuer address'
      : isText
        ? 'any text'
        : 'one label of a host name';
  return `\`${name}\`: ${kind}${preset === null ? '' : `; ${preset} unless said otherwise`}`;
}

function changes({ changes: announced }: ProviderFile): string {
  const rows = (announced ?? []).map(({ from, set }) => [
    from,
    Object.entries(set)
      .map(([pointer, value]) => `\`${pointer}\` becomes \`${JSON.stringify(value)}\``)
      .join('; '),
  ]);
  return table(['from', 'what'], rows);
}

function sources({ facts }: ProviderFile): string {
  const rows = (facts ?? []).map(({ about, source, seen, grade, note }) => [
    `\`${about}\``,
    grade,
    seen,
    source,
    note ?? '',
  ]);
  return table(['about', 'grade', 'seen', 'source', 'note'], rows);
}

function overview(): string {
  const rows = providers.map(({ provider }) => [
    `[${provider.name}](${provider.id}.md)`,
    provider.category ?? '',
    againInWords(provider),
    limit(provider.policy.pacing.minSpacingMs || null) ?? '',
    limit(provider.policy.life.idleMs) ?? '',
    gradeOf(provider, '/policy/rotate/mode') ?? gradeOf(provider, '/grant_types_supported') ?? 'not known',
  ]);
  return `
# Providers

${providers.length} files in \`providers/\`, and a page for each. A provider that is not here and has an OpenID Connect
issuer is reached through [\`oidc\`](oidc.md); any other gets a file of its own in the folder of \`--providers\`, whose
form is \`providers/schema.json\`. \`evergrant providers check FILE\` tries it, \`evergrant providers show ID\` shows one.

What is not known is read the safest way: a used refresh token is dead, and presenting it again may end the grant.

${table(['provider', 'kind', 'the same token again after a lost answer?', 'spacing', 'unused life', 'rotation is'], rows)}

## Grades

- **documented**: read in the vendor's own pages or SDK.
- **observed**: read in issue threads, public code or the words of other vendors.
- **inferred**: follows from what was read.
- **unverified**: from memory. No time, no count and no overlap is shipped on memory alone; addresses are, and are
  replaced with a provider file of your own where they are wrong.

No token endpoint of these vendors was called to find any of this out.

## Not here, and why

| service | why |
|---|---|
| AFAS Profit | A connector token of its own kind goes with each request; there is no OAuth 2 (from memory). |
| BILL | Session login with a developer key (public code of third parties). |
| Plaid | Link gives a token that does not expire (from memory). |
| Rippling | An API key; the OAuth of its app shop is another thing (public code of third parties). |
| SnelStart | \`grant_type=clientkey\`, without refresh tokens (from memory). |
| Yodlee | Client credentials and a login name, without refresh tokens (from memory). |

## Here, and not to be connected yet

| provider | why |
|---|---|
${limited()}
`;
}

/** What a page says of a provider, too, gathered: where a file alone is not enough. */
function limited(): string {
  const own: Readonly<Record<string, string>> = {
    'amazon-sp-api': 'The callback calls its code spapi_oauth_code. A refresh token can be imported.',
    'stripe-apps': 'The secret key goes as the user name of Basic authentication.',
  };
  const rows = providers.flatMap(({ provider }) => {
    const why =
      own[provider.id] ??
      (canBeAuthorized(provider)
        ? givesRefreshTokens(provider)
          ? null
          : 'Its access tokens do not expire, and there is no refresh token to keep.'
        : 'No person can authorize: its tokens are made with client credentials.');
    return why === null ? [] : [`| [${provider.name}](${provider.id}.md) | ${why} |`];
  });
  return rows.join('\n');
}
