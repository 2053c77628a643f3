/** The house rules, read from the source itself. Each failure names the file, the rule, and what to do instead. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { ARROWS, ENTRIES, NODE_MODULES } from './arrows.ts';

const ROOT = join(import.meta.dirname, '..');
const LONGEST = 500;

interface Source {
  /** As in `src/core/chain.ts`. */
  readonly path: string;
  readonly text: string;
  readonly room: string;
  readonly isTest: boolean;
  /** The code without comments. */
  readonly code: string;
  readonly imports: readonly Import[];
}

interface Import {
  readonly names: readonly string[];
  readonly from: string;
  /** The file of this project that it means; null for packages and Node. */
  readonly to: string | null;
}

const sources: readonly Source[] = globSync('src/**/*.{ts,tsx}', { cwd: ROOT }).map(read);
const shipped = sources.filter((source) => !source.isTest);
/** What else may use a file of src. */
const outside: readonly Source[] = globSync('{test,bench}/**/*.ts', { cwd: ROOT }).map(read);

function read(path: string): Source {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const code = withoutComments(text);
  const isTest = /\.test\.tsx?$/.test(path);
  return { path, text, code, isTest, room: path.split('/')[1] ?? '', imports: importsOf(path, code) };
}

/** Strings stay, so that `//` in a URL begins no comment. */
function withoutComments(text: string): string {
  return text.replace(
    /("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (_, quoted: string | undefined) => quoted ?? ' ',
  );
}

/** Every `import … from`, `export … from` and `import(…)`. */
function importsOf(path: string, code: string): readonly Import[] {
  const found: Import[] = [];
  const add = (from: string, names: readonly string[]): void => {
    const to = from.startsWith('.') ? relative(ROOT, join(ROOT, dirname(path), from)) : null;
    found.push({ from, names, to });
  };
  for (const [, names = '', from = ''] of code.matchAll(/(?:import|export)\s+([\w*${}\s,]+?)\s+from\s+'([^']+)'/g)) {
    add(from, names.match(/\w+/g) ?? []);
  }
  for (const [, from = ''] of code.matchAll(/\bimport\s*\(?\s*'([^']+)'/g)) add(from, []);
  return found;
}

/** The complaints about the imports of everything that is shipped. */
function complain(judge: (source: Source, one: Import) => string | null): readonly string[] {
  return shipped
    .flatMap((source) => source.imports.map((one) => judge(source, one)))
    .filter((complaint) => complaint !== null);
}

test('a room imports only the rooms that the table of arrows names', () => {
  const complaints = complain(({ path, room }, { to }) => {
    if (to === null || !to.startsWith('src/')) return null;
    const other = to.split('/')[1] ?? '';
    if (other === room || ARROWS[room]?.includes(other)) return null;
    const allowed = ARROWS[room]?.join(', ') || 'nothing';
    return `${path} imports ${to}: ${room} may import ${allowed}. Move the code, or pass it in through a port.`;
  });
  expect(complaints).toEqual([]);
});

test('every room stands in the table of arrows', () => {
  const rooms = new Set(sources.map((source) => source.room));
  expect([...rooms].filter((room) => ARROWS[room] === undefined)).toEqual([]);
});

test('pure rooms take nothing from Node but pure functions', () => {
  const complaints = complain(({ path, room }, { from, names }) => {
    const allowed = NODE_MODULES[room];
    if (!allowed || !from.startsWith('node:')) return null;
    const pure = allowed[from] ?? [];
    const stray = names.filter((name) => name !== 'type' && !pure.includes(name));
    if (pure.length > 0 && stray.length === 0) return null;
    return `${path} takes ${stray.join(', ') || 'all'} of ${from}: ${room} stays pure. Put it behind a port (src/ports).`;
  });
  expect(complaints).toEqual([]);
});

const BANNED: readonly { readonly pattern: RegExp; readonly instead: string }[] = [
  { pattern: /\bDate\.now\(|\bnew Date\(\s*\)|\bperformance\.now\(/, instead: 'the Clock port (src/ports/clock.ts)' },
  { pattern: /\bMath\.random\(/, instead: 'the Random port (src/ports/random.ts)' },
  {
    pattern: /\bset(?:Timeout|Interval|Immediate)\(|node:timers/,
    instead: 'sleep of the Clock port (src/ports/clock.ts)',
  },
  { pattern: /(?<![.\w])fetch\(/, instead: 'the Network port (src/ports/network.ts)' },
  { pattern: /\bcrypto\.subtle\b|\bwebcrypto\b/, instead: 'synchronous node:crypto behind the Sealer port' },
];

/** The machine's own room, and those that also run in browsers. */
const FREE = ['world', 'client', 'dashboard'];

test('only src/world touches clock, chance, timers and network', () => {
  const complaints = shipped
    .filter(({ room }) => !FREE.includes(room))
    .flatMap(({ path, code }) =>
      BANNED.flatMap(({ pattern, instead }) => {
        const found = pattern.exec(code)?.[0];
        return found === undefined ? [] : [`${path} uses ${found}: use ${instead} instead.`];
      }),
    );
  expect(complaints).toEqual([]);
});

test('every file is reached from an entry point, or helps several tests', () => {
  const reached = reachable(ENTRIES);
  const complaints = shipped
    .filter(({ path }) => !reached.has(path) && !reachable(testsBut(path)).has(path))
    .map(({ path }) => `${path} is reached from no entry point: use it, or remove it.`);
  expect(complaints).toEqual([]);
});

/** A file that only its own test keeps alive is dead. */
function testsBut(path: string): readonly string[] {
  const own = path.replace(/\.tsx?$/, '.test.ts');
  const tests = sources.filter((source) => source.isTest && source.path !== own);
  return [...tests, ...outside].map((source) => source.path);
}

const byPath = new Map([...sources, ...outside].map((source) => [source.path, source]));

function reachable(from: readonly string[]): ReadonlySet<string> {
  const reached = new Set<string>();
  const queue = [...from];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const source = byPath.get(path);
    if (!source || reached.has(path)) continue;
    reached.add(path);
    queue.push(...source.imports.flatMap(({ to }) => to ?? []));
  }
  return reached;
}

test('every import names a file that is there', () => {
  const complaints = complain(({ path }, { from, to }) =>
    to === null || existsSync(join(ROOT, to)) ? null : `${path} imports ${from}, which is not there.`,
  );
  expect(complaints).toEqual([]);
});

test(`no file is longer than ${LONGEST} lines`, () => {
  const complaints = sources
    .map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
    .filter(({ lines }) => lines > LONGEST)
    .map(({ path, lines }) => `${path} has ${lines} lines: split it by what it is about.`);
  expect(complaints).toEqual([]);
});

test('every file opens with what it is', () => {
  const bare = shipped.filter(({ text }) => !/^(?:#![^\n]*\n)?\/\*\*/.test(text));
  expect(bare.map(({ path }) => `${path} has no opening comment: begin it with /** what it is. */`)).toEqual([]);
});
