/**
 * What `npm test` runs: everything, in the order in which a fault is cheapest to find. `npm test -- --unit` leaves out
 * the system packages and the end-to-end tests. Stops at the first step that fails.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

/** Debian packages that the end-to-end tests use. */
const PACKAGES = [
  'chromium',
  'curl',
  'pgbouncer',
  'postgresql',
  'python3-authlib',
  'python3-requests-oauthlib',
  'ruby-oauth2',
];

const ROOT = join(import.meta.dirname, '..');
const reports = mkdtempSync(join(tmpdir(), 'evergrant-test-'));
const env = { ...process.env, PATH: [join(ROOT, 'node_modules/.bin'), process.env.PATH].join(delimiter) };

interface Step {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
}

const quick: readonly Step[] = [
  { name: 'format', command: ['biome', 'format', '.'] },
  { name: 'lint', command: ['biome', 'lint', '--diagnostic-level=warn', '--error-on-warnings', '.'] },
  { name: 'lint with types', command: ['oxlint', '--type-aware', '--deny-warnings'] },
  { name: 'unused code', command: ['knip'] },
  { name: 'types', command: ['tsc', '--noEmit'] },
  { name: 'unit tests', command: vitest('unit') },
];
const slow: readonly Step[] = [
  { name: 'crash tests', command: vitest('crashes') },
  { name: 'end-to-end tests', command: vitest('end-to-end') },
];

function vitest(project: string): Step['command'] {
  const report = ['--reporter=default', '--reporter=json', `--outputFile.json=${join(reports, `${project}.json`)}`];
  return ['vitest', 'run', '--project', project, '--passWithNoTests', ...report];
}

function main(): number {
  const unitOnly = process.argv.includes('--unit');
  if (!unitOnly && !hasPackages()) return 1;
  const failed = [...quick, ...(unitOnly ? [] : slow)].find((step) => !run(step));
  console.log(failed ? `\nFailed: ${failed.name}` : '\nEverything passed.');
  console.log(countTests(failed !== undefined));
  return failed ? 1 : 0;
}

function run({ name, command: [program, ...words] }: Step): boolean {
  console.log(`\n== ${name} (${program} ${words.filter((word) => !word.includes(reports)).join(' ')})`);
  const startedAt = performance.now();
  const { status, error } = spawnSync(program, words, {
    cwd: ROOT,
    env: { ...env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: 'inherit',
  });
  if (error) console.log(`${program} does not start: ${error.message}. Run npm install first.`);
  console.log(
    `-- ${name}: ${status === 0 ? 'ok' : 'FAILED'} in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
  );
  return status === 0;
}

/** Installs what is missing where that is possible; otherwise says what to type. */
function hasPackages(): boolean {
  const missing = PACKAGES.filter((name) => !isInstalled(name));
  if (missing.length === 0) return true;
  const install = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    console.log(
      `The end-to-end tests need: ${missing.join(', ')}. Install once:\n  sudo apt-get update && sudo ${install}`,
    );
    console.log('Or run everything else: npm test -- --unit');
    return false;
  }
  const lists: Step = { name: 'package lists', command: ['apt-get', 'update', '-q'] };
  const [program = '', ...words] = install.split(' ');
  return run(lists) && run({ name: 'system packages', command: [program, '-q', ...words] });
}

function isInstalled(name: string): boolean {
  const { stdout } = spawnSync('dpkg', ['-s', name], { encoding: 'utf8' });
  return stdout?.includes('\nStatus: install ok installed') || spawnSync('which', [name]).status === 0;
}

/** Sums what vitest reported, in the one line that tools look for. A step without tests counts as one when it fails. */
function countTests(hasFailed: boolean): string {
  let [passed, failed] = [0, 0];
  for (const project of ['unit', 'crashes', 'end-to-end']) {
    const path = join(reports, `${project}.json`);
    if (!existsSync(path)) continue;
    const report: unknown = JSON.parse(readFileSync(path, 'utf8'));
    passed += numberOf(report, 'numPassedTests');
    failed += numberOf(report, 'numFailedTests');
  }
  return `${passed} passed, ${hasFailed ? Math.max(1, failed) : failed} failed`;
}

function numberOf(report: unknown, name: string): number {
  const value = typeof report === 'object' && report !== null ? Reflect.get(report, name) : 0;
  return typeof value === 'number' ? value : 0;
}

try {
  process.exitCode = main();
} finally {
  rmSync(reports, { recursive: true, force: true });
}
