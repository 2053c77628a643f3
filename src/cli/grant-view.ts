/** How grants, their chains and their histories look on a terminal. */
import { asObject, type Json, objects, text, texts } from './json.ts';
import { type Cell, clean, distance, duration, fields, paint, table } from './output.ts';

const STATE_STYLES = {
  active: 'green',
  waiting: 'yellow',
  in_doubt: 'yellow',
  recovering: 'yellow',
  held: 'yellow',
  pending: 'cyan',
  broken: 'red',
  revoked: 'dim',
} as const;

const LINKS_DRAWN = 5;
const FINGERPRINT_SHOWN = 8;
const OUTCOME_WIDTH = 16;

export function stateCell(state: string): Cell {
  const style = Object.entries(STATE_STYLES).find(([name]) => name === state)?.[1];
  return style === undefined ? { words: state } : { words: state, style };
}

/** One line a grant; whom a person has to renew by when is told where that is so of one at least. */
export function grantTable(grants: readonly Json[], now: number): string {
  const isAnyEnding = grants.some((grant) => renewBefore(grant) !== '');
  const head = ['ALIAS', 'PROVIDER', 'ACCOUNT', 'STATE', 'TOKEN ENDS', 'NEXT EXCHANGE', 'EXCHANGES'];
  return table(
    isAnyEnding ? [...head, 'RENEW BEFORE'] : head,
    grants.map((grant) => [
      { words: text(grant, 'alias') },
      { words: text(grant, 'provider') },
      { words: accountOf(grant) },
      stateCell(text(grant, 'state')),
      { words: distance(text(grant, 'access_token_expires_at'), now) },
      { words: distance(text(grant, 'next_exchange_at'), now) },
      { words: text(grant, 'exchanges') },
      ...(isAnyEnding ? [renewCell(grant, now)] : []),
    ]),
  );
}

function renewBefore(grant: Json): string {
  return text(asObject(grant.expires), 'absolute_at');
}

/** Yellow once it was announced. */
function renewCell(grant: Json, now: number): Cell {
  const words = distance(renewBefore(grant), now);
  return text(asObject(grant.expires), 'announced_at') === '' ? { words } : { words, style: 'yellow' };
}

function accountOf(grant: Json): string {
  const account = asObject(grant.account);
  return text(account, 'label') || text(account, 'subject');
}

/** Everything about one grant, with its chain drawn as a line. */
export function grantPage(grant: Json, history: readonly Json[], now: number): string {
  const state = stateCell(text(grant, 'state'));
  const heading = `${paint('bold', clean(text(grant, 'alias')))}  ${state.style ? paint(state.style, state.words) : state.words}`;
  const parts = [
    heading,
    chainLine(grant, history, now),
    grantFields(grant, now),
    diagnosisLines(asObject(grant.diagnosis)),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** Only where it is not what most have. */
function schemeOf(grant: Json): string {
  const scheme = text(grant, 'scheme');
  return scheme === 'refresh_token' ? '' : scheme;
}

function grantFields(grant: Json, now: number): string {
  const scope = asObject(grant.scope);
  const expires = asObject(grant.expires);
  const labels = Object.entries(asObject(grant.labels));
  const when = (object: Json, name: string): string => {
    const at = text(object, name);
    return at === '' ? '' : `${at} (${distance(at, now)})`;
  };
  return fields([
    ['id', text(grant, 'id')],
    ['provider', text(grant, 'provider')],
    ['app', text(grant, 'app')],
    ['scheme', schemeOf(grant)],
    ['account', accountOf(grant)],
    ['owner', text(grant, 'owner')],
    ['labels', labels.map(([name, value]) => `${name}=${String(value)}`).join(' ')],
    ['scope', texts(scope.granted ?? scope.requested).join(' ')],
    ['missing scope', texts(scope.missing).join(' ')],
    ['in this state since', when(grant, 'state_since')],
    ['access token ends', when(grant, 'access_token_expires_at')],
    ['next exchange', when(grant, 'next_exchange_at')],
    ['must be used before', when(expires, 'idle_at')],
    ['must be renewed before', when(expires, 'absolute_at')],
    ['announced', when(expires, 'announced_at')],
    ['announced next', when(expires, 'next_announcement_at')],
    ...objects(expires.warnings).map((warning) => ['warning', text(warning, 'text')] as const),
    ['generation', text(grant, 'generation')],
    ['exchanges', text(grant, 'exchanges')],
  ]);
}

/**
 * `◆ 3f9a12 3 h ago ── ○ 88ab01 20 min ago ── ● 12cd9f 9 min ago`: the last links by their fingerprints, oldest first.
 * ◆ began with an authorization, ● is the newest; the end shows what stands after it.
 */
export function chainLine(grant: Json, history: readonly Json[], now: number): string {
  const all = history.filter(isLink);
  const links = all.slice(0, LINKS_DRAWN).toReversed();
  if (links.length === 0) return '';
  const drawn = links.map((link, i) => {
    const mark = text(link, 'type') === 'authorized' ? '◆' : i === links.length - 1 ? '●' : '○';
    const isNewest = i === links.length - 1;
    const at = distance(text(link, 'received_at') || text(link, 'at'), now);
    return `${isNewest ? paint('green', mark) : mark} ${short(link, 'fingerprint')} ${paint('dim', at)}`;
  });
  const before = all.length > links.length ? ['…'] : [];
  return `chain  ${[...before, ...drawn].join(' ── ')}${chainEnd(grant)}`;
}

function chainEnd(grant: Json): string {
  const state = text(grant, 'state');
  if (state === 'broken') return ` ── ${paint('red', `✗ ${clean(text(asObject(grant.diagnosis), 'code'))}`)}`;
  if (state === 'in_doubt') return ` ┄┄ ${paint('yellow', '? sent, no answer yet')}`;
  return state === 'revoked' ? ` ── ${paint('dim', '✗ ended')}` : '';
}

function short(entry: Json, name: string): string {
  return clean(text(entry, name).replace(/^[a-z]+_/, '')).slice(0, FINGERPRINT_SHOWN);
}

/** An entry that gave tokens. */
function isLink(entry: Json): boolean {
  return ['authorized', 'received'].includes(text(entry, 'type'));
}

export function diagnosisLines(diagnosis: Json): string {
  if (text(diagnosis, 'code') === '') return '';
  return fields([
    ['diagnosis', text(diagnosis, 'code')],
    ['cause', text(diagnosis, 'cause')],
    ['evidence', text(diagnosis, 'evidence')],
    ['the provider said', said(diagnosis)],
    ['remedy', text(diagnosis, 'remedy')],
  ]);
}

export function said(entry: Json): string {
  if (typeof entry.said === 'string') return entry.said;
  const words = asObject(entry.said);
  return ['status', 'error', 'description']
    .map((name) => text(words, name))
    .filter((word) => word !== '')
    .join(' ');
}

/** One line an event: when, which authorization, what, the token received and the one presented, what was said. */
export function historyLine(entry: Json): string {
  const outcome = clean(text(entry, 'outcome') || text(entry, 'type'));
  const [token, heard] = [short(entry, 'fingerprint'), said(entry)];
  const life = text(entry, 'access_token_life');
  const wait = text(entry, 'retry_after');
  const end = text(entry, 'ends_at');
  const rest = [
    end === '' ? '' : `a person has to renew it before ${clean(end)}`,
    token === '' ? '' : `token ${token}`,
    life === '' ? '' : `access token for ${duration(Number(life))}`,
    wait === '' ? '' : `nothing is sent for ${duration(Number(wait))}`,
    heard === '' ? '' : `the provider said: ${clean(heard)}`,
    text(entry, 'node') === '' ? '' : paint('dim', `on ${clean(text(entry, 'node'))}`),
  ].filter((word) => word !== '');
  const generation = `gen ${text(entry, 'generation')}`;
  const words = [paint('dim', clean(text(entry, 'at'))), generation, outcome.padEnd(OUTCOME_WIDTH), rest.join(', ')];
  return words.join('  ').trimEnd();
}

/** What an exchange gave, without the token. */
export function exchanged(alias: string, answer: Json): string {
  return `${clean(alias)}: exchanged; the access token lives ${duration(Number(text(answer, 'expires_in')))}.`;
}

/** Apps, API keys and providers: one line each, of the fields that are named. */
export function plainTable(columns: Readonly<Record<string, string>>, rows: readonly Json[]): string {
  const names = Object.keys(columns);
  return table(
    Object.values(columns),
    rows.map((row) => names.map((name) => ({ words: cellOf(row[name]) }))),
  );
}

function cellOf(value: unknown): string {
  if (Array.isArray(value)) return value.map(String).join(' ');
  const pairs = Object.entries(asObject(value)).map(([name, one]) => `${name}=${String(one)}`);
  return pairs.length > 0 ? pairs.join(' ') : text({ value }, 'value');
}

/** One thing with all its fields. */
export function plainPage(thing: Json): string {
  return fields(Object.entries(thing).map(([name, value]) => [name.replaceAll('_', ' '), cellOfAny(value)]));
}

function cellOfAny(value: unknown): string {
  const nested = objects(value).some((item) => Object.keys(item).length > 0);
  const deep = Object.values(asObject(value)).some((item) => typeof item === 'object' && item !== null);
  return nested || deep ? JSON.stringify(value) : cellOf(value);
}
