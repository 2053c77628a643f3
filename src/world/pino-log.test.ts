import { expect, test } from 'vitest';
import { Secret } from '../core/secret.ts';
import type { LogFields } from '../ports/log.ts';
import { createLog } from './pino-log.ts';

const SECRET = 'planted-secret-123';

function logged(isTerminal: boolean, fields: LogFields, cause?: unknown): string {
  const lines: string[] = [];
  const log = createLog({ level: 'info', isTerminal, write: (line) => void lines.push(line) });
  log.debug('not shown at this level');
  log.error('the store is away', fields, cause);
  return lines.join('');
}

test('a line for machines is one JSON object with level, time and fields', () => {
  const line = logged(false, { grant: 'grt_1', count: 3 });
  expect(line.endsWith('\n')).toBe(true);
  const { time, ...rest } = JSON.parse(line);
  expect(rest).toEqual({ level: 'error', msg: 'the store is away', grant: 'grt_1', count: 3 });
  expect(time).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
});

test('a line for people has the time, the level, the message and the fields', () => {
  expect(logged(true, { grant: 'grt_1', reason: 'no route' })).toMatch(
    /^\d\d:\d\d:\d\d error the store is away {2}grant=grt_1 {2}reason="no route"\n$/,
  );
});

test.each([false, true])('[S33] texts under names of secrets are left out (terminal: %s)', (isTerminal) => {
  const names = [
    'token',
    'refresh_token',
    'accessToken',
    'client_secret',
    'Password',
    'code',
    'totpSecret',
    'Authorization',
  ];
  const fields = Object.fromEntries(names.map((name) => [name, SECRET]));
  expect(logged(isTerminal, fields)).not.toContain(SECRET);
});

test.each([false, true])('a secret prints as its kind, under any name (terminal: %s)', (isTerminal) => {
  const fields = {
    held: new Secret('refresh token', SECRET) as unknown as string,
    other: { deep: SECRET } as unknown as string,
  };
  const line = logged(isTerminal, fields);
  expect(line).toContain('[refresh token]');
  expect(line).not.toContain(SECRET);
});

test('public codes and numbers are shown although their name sounds secret', () => {
  const { code, error_code, status_code } = JSON.parse(
    logged(false, { code: 'in_doubt', error_code: 'used_elsewhere', status_code: 400 }),
  );
  expect([code, error_code, status_code]).toEqual(['in_doubt', 'used_elsewhere', 400]);
});

test.each([false, true])(
  'a cause is shown with its stack and what caused it, without other fields (terminal: %s)',
  (isTerminal) => {
    const cause = Object.assign(new Error('outer', { cause: new TypeError('inner') }), { body: SECRET });
    const line = logged(isTerminal, {}, cause);
    expect(line).toContain('Error: outer');
    expect(line).toContain('TypeError: inner');
    expect(line).toContain('pino-log.test.ts');
    expect(line).not.toContain(SECRET);
    expect(logged(isTerminal, {}, SECRET)).not.toContain(SECRET);
  },
);

test('what a provider said cannot steer the terminal', () => {
  expect(logged(true, { said: '\u001b[2Jgone' }, new Error('\u001b[31mred'))).not.toContain('\u001b');
});
