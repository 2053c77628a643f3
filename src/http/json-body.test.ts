import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EvergrantError } from '../core/errors.ts';
import { readJson, whereItBreaks } from './json-body.ts';

test('what is JSON is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      fc.pre(!text.includes('__proto__'));
      expect(readJson(Buffer.from(text))).toEqual(JSON.parse(text));
      expect(whereItBreaks(text)).toBe(text.length);
    }),
  );
});

test('a mistake is found where it is', () => {
  const mistakes: [string, number][] = [
    ['{"a":1,}', 7],
    ['{"a" 1}', 5],
    ['[1 2]', 3],
    ['{"a":tru}', 5],
    ['{"a":01}', 5],
    ['{"a":"x\ny"}', 7],
    ['{"a":"\\x"}', 5],
    ['{"a":1', 6],
    ['{} {}', 3],
    ["{'a':1}", 1],
    ['  ', 2],
  ];
  for (const [text, at] of mistakes) expect(whereItBreaks(text), text).toBe(at);
});

test('half a million open brackets are a mistake and not a crash', () => {
  expect(() => readJson(Buffer.from('['.repeat(500_000)))).toThrow('line 1, position 500001');
});

test('__proto__ is refused however it is spelled', () => {
  for (const text of ['{"__proto__":1}', '{"a":{"\\u005f_proto__":1}}']) {
    expect(() => readJson(Buffer.from(text))).toThrow('__proto__');
  }
  expect(readJson(Buffer.from('{"a":"__proto__"}'))).toEqual({ a: '__proto__' });
});

test.each(['[', '{"a":', '{"\\u0061":'])(
  'a body that is nested too deep is refused like any other mistake: %s',
  (open) => {
    const close = open === '[' ? ']' : '}';
    const nested = (depth: number) => Buffer.from(`${open.repeat(depth)}1${close.repeat(depth)}`);
    expect(() => readJson(nested(60))).not.toThrow();
    expect(() => readJson(nested(70_000))).toThrow(EvergrantError);
  },
);
