/** What `evergrant doctor` shows on a terminal. */
import { chainLine, diagnosisLines, historyLine, stateCell } from './grant-view.ts';
import { asObject, type Json, objects, text } from './json.ts';
import { clean, distance, fields, paint } from './output.ts';

/** One question of a check-up, and its answer. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** The newest events that are told; more stand in `grants history`. */
const STORY_LINES = 20;

/** One grant: how it stands, what happened, why, what to do, what is to come. */
export function storyPage(grant: Json, history: readonly Json[], now: number): string {
  const parts = [
    headline(grant, now),
    chainLine(grant, history, now),
    section('What happened, oldest first', happened(history)),
    section('Why', diagnosisLines(asObject(grant.diagnosis))),
    section('What to do', whatToDo(grant, now)),
    section('What is to come', toCome(grant, now)),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function section(title: string, body: string): string {
  return body === '' ? '' : `${paint('bold', title)}\n${body}`;
}

function headline(grant: Json, now: number): string {
  const { words, style } = stateCell(text(grant, 'state'));
  const since = distance(text(grant, 'state_since'), now);
  return `${paint('bold', clean(text(grant, 'alias')))}  ${style ? paint(style, words) : words}  ${paint('dim', `since ${since}`)}`;
}

function happened(history: readonly Json[]): string {
  const told = history.slice(0, STORY_LINES).toReversed().map(historyLine);
  const more = history.length > STORY_LINES ? [paint('dim', '… more: evergrant grants history ALIAS')] : [];
  return [...more, ...told].join('\n');
}

function whatToDo(grant: Json, now: number): string {
  const alias = clean(text(grant, 'alias'));
  const remedy = clean(text(asObject(grant.diagnosis), 'remedy'));
  const next = distance(text(grant, 'next_exchange_at'), now);
  switch (text(grant, 'state')) {
    case 'pending':
      return `Nobody has allowed it yet. Open its link, or take a new one: evergrant grants renew ${alias}`;
    case 'broken':
      return `${remedy}\nevergrant grants renew ${alias}`;
    case 'revoked':
      return 'It was ended here. Connect the account anew if that was not meant.';
    case 'active':
      return 'Nothing.';
    default:
      return remedy || `Nothing: it goes on by itself${next === '' ? '' : `, next ${next}`}.`;
  }
}

function toCome(grant: Json, now: number): string {
  const expires = asObject(grant.expires);
  const earliest = text(expires, 'earliest_at');
  const of = { idle: 'if nobody uses it', absolute: 'however much it is used' }[text(expires, 'earliest_reason')] ?? '';
  const next = text(grant, 'next_exchange_at');
  return fields([
    ['access token ends', at(text(grant, 'access_token_expires_at'), now)],
    ['next exchange possible', next === '' ? '' : at(next, now)],
    ['ends', earliest === '' ? '' : `${at(earliest, now)} ${of}`],
    ...objects(expires.warnings).map((warning) => ['warning', text(warning, 'text')] as const),
  ]);
}

function at(instant: string, now: number): string {
  return instant === '' ? '' : `${instant} (${distance(instant, now)})`;
}

/** The server, and what needs somebody. */
export function checkUpPage(
  origin: string | null,
  checks: readonly Check[],
  byState: Readonly<Record<string, number>>,
  attention: readonly Json[],
  now: number,
): string {
  const server = checks.map(
    ({ name, ok, detail }) => `${ok ? paint('green', '✓') : paint('red', '✗')} ${name}: ${detail}`,
  );
  const where = origin === null ? 'no server listens; its data folder was opened' : `reachable at ${clean(origin)}`;
  const states = Object.entries(byState).map(([state, number]) => `${number} ${state}`);
  const grants = states.length === 0 ? 'none' : states.join(', ');
  const parts = [
    [`${paint('green', '✓')} server: ${where}`, ...server, `  grants: ${grants}`].join('\n'),
    ...attention.map((grant) => attentionOf(grant, now)),
    attention.length === 0 ? 'Nothing needs anybody.' : '',
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function attentionOf(grant: Json, now: number): string {
  const diagnosis = asObject(grant.diagnosis);
  return [
    headline(grant, now),
    fields([
      ['diagnosis', text(diagnosis, 'code')],
      ['cause', text(diagnosis, 'cause')],
      ['evidence', text(diagnosis, 'evidence')],
      ...objects(asObject(grant.expires).warnings).map((warning) => ['warning', text(warning, 'text')] as const),
      ['what to do', whatToDo(grant, now).replace('\n', ' ')],
    ]),
  ].join('\n');
}

/** What an error text means. */
export function findingPage(finding: Json): string {
  return fields([
    ['code', text(finding, 'code')],
    ['cause', text(finding, 'cause')],
    ['remedy', text(finding, 'remedy')],
    ['asking again', finding.retry === true ? 'may help' : 'does not help'],
    ...objects(finding.sources).map((one) => ['source', sourceOf(one)] as const),
  ]);
}

function sourceOf(one: Json): string {
  const note = text(one, 'note');
  return `${text(one, 'source')} (${text(one, 'grade')})${note === '' ? '' : ` ${note}`}`;
}
