/** The documentation says what the code does: pages made from code are up to date, and nothing is left out. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DIAGNOSES } from '../src/core/diagnosis.ts';
import { ERRORS } from '../src/core/errors.ts';
import { FOREIGN_CODES } from '../src/core/foreign-codes.ts';
import { ERROR_HELP } from './error-help.ts';
import { PAGES } from './pages.ts';
import { PROMISES, taggedTests } from './promises.ts';

const read = (path: string): string => readFileSync(join(import.meta.dirname, '..', path), 'utf8');

test.each(Object.keys(PAGES))('%s is up to date (npm run docs)', (path) => {
  expect(read(path)).toBe(PAGES[path]?.());
});

test('every error and every diagnosis has a section, and every section is about one', () => {
  const headings = read('docs/errors.md').match(/(?<=^### )\w+/gm) ?? [];
  expect(headings.toSorted()).toEqual([...Object.keys(ERRORS), ...Object.keys(DIAGNOSES)].toSorted());
});

test('every code of another system stands in the table of errors.md with its source [S52] [S53] [S54] [S98]', () => {
  const page = read('docs/errors.md');
  for (const { code, system, means } of FOREIGN_CODES)
    expect(page).toContain(`| \`${code}\` | ${system} | \`${means}\` |`);
});

test('every error is explained with a remedy, and only errors that exist are', () => {
  expect(Object.keys(ERROR_HELP).toSorted()).toEqual(Object.keys(ERRORS).toSorted());
});

test('every number in the name of a test stands for a promise in words', () => {
  const unknown = taggedTests().filter(({ tag }) => PROMISES[tag] === undefined);
  expect(unknown.map(({ tag, file }) => `${file}: [${tag}] has no words in test/promises.ts`)).toEqual([]);
});

test('every provider has a page, and every page is about a provider that is there', () => {
  const there = globSync('docs/providers/*.md', { cwd: join(import.meta.dirname, '..') });
  const made = Object.keys(PAGES).filter((path) => path.startsWith('docs/providers/'));
  expect(there.toSorted()).toEqual(made.toSorted());
});

test('every row of docs/compared.md is a test of that name, and every such test has its row', () => {
  const letters = /^\| ([A-Z]\d*(?:, [A-Z]\d*)*) \|/gm;
  const rows = [...read('docs/compared.md').matchAll(letters)].flatMap(([, cell = '']) => cell.split(', '));
  const names = [...read('test/compared.test.ts').matchAll(/(?:describe|test)\('([A-Z]\d*): |\['([A-Z]\d*): /g)];
  expect(rows.toSorted()).toEqual([...new Set(names.map(([, a, b]) => a ?? b ?? ''))].toSorted());
});
