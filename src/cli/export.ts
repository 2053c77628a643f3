/** `evergrant export`: grants for another owner, in a file sealed with a passphrase. They end here. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { Exported } from '../app.ts';
import { apiCommand, collect } from './options.ts';
import { clean, print, printJson, say } from './output.ts';
import { describe, problemOf, usageError } from './problem.ts';
import { passphrase } from './prompt.ts';
import { sealText, writeSealed } from './sealed-file.ts';
import { readConfiguration } from './settings.ts';

interface ExportOptions {
  readonly iUnderstand?: boolean;
  readonly grant?: readonly string[];
  readonly json?: boolean;
}

export function command(): Command {
  return apiCommand('export', 'Hand grants over to another owner: a file sealed with a passphrase')
    .argument('<file>', 'a file that is not there yet')
    .option('--i-understand', 'each exported grant ends here, because two owners would break its chain')
    .option('--grant <ALIAS>', 'only this grant; may be repeated (default: all that are alive)', collect)
    .addHelpText('after', '\nWorks on the machine that holds the root key, while no server runs on its data folder.')
    .action(run);
}

async function run(file: string, options: ExportOptions): Promise<void> {
  if (!options.iUnderstand) {
    throw usageError('Each exported grant ends here, because two owners would break its chain.', 'Add --i-understand.');
  }
  if (existsSync(file)) throw usageError(`${file} is there already.`, 'Name a file that is not there yet.');
  const { settings, server } = await readConfiguration({ ...options }, process.env);
  if (server !== null) {
    throw usageError('An export goes over no network.', 'Run it on the machine of the server, without --server.');
  }
  const secret = await passphrase('new');
  const { startApp } = await import('../app.ts');
  await using app = await closing(startApp({ ...settings, log: 'warn' }, 'none'));
  const found = await app.exports.read(options.grant ?? null);
  write(file, found.grants, secret);
  const moved: Exported[] = [];
  for (const one of found.grants) if (!(await app.exports.end(one))) moved.push(one);
  if (moved.length > 0)
    write(
      file,
      found.grants.filter((one) => !moved.includes(one)),
      secret,
    );
  const failures = [...found.failures, ...moved.map(({ alias }) => ({ alias, error: movedOn() }))];
  report(
    found.grants.filter((one) => !moved.includes(one)),
    failures,
    options,
  );
  if (failures.length > 0) process.exitCode = 1;
}

async function closing<T extends { close(): Promise<void> }>(starting: Promise<T>) {
  const app = await starting;
  return { ...app, [Symbol.asyncDispose]: () => app.close() };
}

function movedOn(): Error {
  return usageError('It was exchanged while it was exported, so it stays here.', 'Export it again.');
}

/** Durable before anything ends. */
function write(file: string, grants: readonly Exported[], secret: string): void {
  writeSealed(file, sealText(grants.map((one) => `${one.line()}\n`).join(''), secret));
}

function report(
  grants: readonly Exported[],
  failures: readonly { readonly alias: string; readonly error: unknown }[],
  { json }: ExportOptions,
): void {
  for (const { alias } of grants) {
    if (json) printJson({ alias, outcome: 'exported' });
    else print(`${clean(alias)}  exported, and ended here`);
  }
  for (const { alias, error } of failures) {
    const problem = problemOf(error);
    if (json) printJson({ alias, outcome: 'failed', problem });
    else say(`${clean(alias)}: ${describe(problem)}`);
  }
}
