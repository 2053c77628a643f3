/**
 * The log on stderr: JSON lines for machines, one readable line each on a terminal. Callers pass no secrets; should
 * one slip through, a `Secret` prints as its kind, and a text under a name that speaks of a secret is left out.
 */
import { pino } from 'pino';
import { DIAGNOSES } from '../core/diagnosis.ts';
import { ERRORS } from '../core/errors.ts';
import { Secret } from '../core/secret.ts';
import type { Log, LogFields } from '../ports/log.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LogOptions {
  readonly level: LogLevel;
  /** Stands on every line of one of several processes. */
  readonly worker?: number;
  /** Readable lines instead of JSON; by default where stderr is a terminal. */
  readonly isTerminal?: boolean;
  /** Where lines go; by default stderr. */
  readonly write?: (line: string) => void;
}

const SPEAKS_OF_SECRETS = /token|secret|password|code|authorization/i;
const LEFT_OUT = '[left out]';
const MOST_CAUSES = 5;
/** Of pino's own; on a terminal they have their place. */
const ON_EVERY_LINE = ['level', 'time', 'msg', 'error'];

export function createLog(options: LogOptions): Log {
  const { level, worker, isTerminal = process.stderr.isTTY, write = writeToStderr } = options;
  const sink = { write: (line: string) => write(isTerminal ? readable(line) : line) };
  const logger = pino(
    {
      level,
      base: worker === undefined ? null : { worker },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    sink,
  );
  return {
    debug: (message, fields) => logger.debug(clean(fields), message),
    info: (message, fields) => logger.info(clean(fields), message),
    warn: (message, fields) => logger.warn(clean(fields), message),
    error: (message, fields, cause) =>
      logger.error(cause === undefined ? clean(fields) : { ...clean(fields), error: stackOf(cause) }, message),
  };
}

function writeToStderr(line: string): void {
  process.stderr.write(line);
}

/** Only plain values; texts under suspicious names only where they are one of our own public codes. */
function clean(fields: LogFields = {}): Record<string, unknown> {
  const shown = Object.entries(fields).map(([name, value]: [string, unknown]) => [name, cleanValue(name, value)]);
  return Object.fromEntries(shown);
}

function cleanValue(name: string, value: unknown): string | number | boolean | null | undefined {
  if (value instanceof Secret) return value.toString();
  if (typeof value === 'string') return SPEAKS_OF_SECRETS.test(name) && !isPublicCode(value) ? LEFT_OUT : value;
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') return value;
  return LEFT_OUT;
}

function isPublicCode(value: string): boolean {
  return Object.hasOwn(ERRORS, value) || Object.hasOwn(DIAGNOSES, value);
}

/** The stack of an error and of what caused it; no other field, for those may hold what was sent. */
function stackOf(cause: unknown): string {
  const stacks: string[] = [];
  for (let error = cause; error !== undefined && stacks.length < MOST_CAUSES; ) {
    stacks.push(error instanceof Error ? (error.stack ?? error.message) : `thrown: ${typeof error}`);
    error = error instanceof Error ? error.cause : undefined;
  }
  return stacks.join('\ncaused by ');
}

/** `12:34:56 warn  message  name=value`, and the stack on lines of its own. */
function readable(line: string): string {
  const entry = JSON.parse(line) as Record<string, unknown>;
  const fields = Object.entries(entry)
    .filter(([name]) => !ON_EVERY_LINE.includes(name))
    .map(([name, value]) => `  ${name}=${plain(value)}`);
  const head = `${String(entry.time).slice(11, 19)} ${String(entry.level).padEnd(5)} ${printable(String(entry.msg))}`;
  const stack = typeof entry.error === 'string' ? `\n${entry.error.split('\n').map(printable).join('\n')}` : '';
  return `${head}${fields.join('')}${stack}\n`;
}

function plain(value: unknown): string {
  if (typeof value === 'string') return /^[\w.:/@+-]+$/.test(value) ? value : JSON.stringify(value);
  return String(value);
}

/** What a provider said may hold escape sequences, and a terminal would obey them. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '\u{fffd}');
}
