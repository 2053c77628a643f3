/** `evergrant export`: grants for another owner, in a file sealed with a passphrase. They end here. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { Exported, Settings } from '../app.ts';
import { EvergrantError } from '../core/errors.ts';
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
    .addHelpText('after', HELP)
    .action(run);
}

const HELP = `
Works on the machine that holds the root key, while no server runs on the data folder. Where several nodes share a
database, give it a data folder of its own: they go on, and stop serving what was exported.`;

async function run(file: string, options: ExportOptions): Promise<void> {
  if (!options.iUnderstand) {
    throw usageError('Each exported grant ends here, because two owners would break its chain.', 'Add --i-understand.');
  }
  if (existsSync(file)) throw usageError(`${file} is there already.`, 'Name a file that is not there yet.');
  const { settings, server } = await readConfiguration({ ...options }, process.env);
  if (server !== null) {
    throw usageError(
      'An export goes over no network.',
      'Run it on the machine of the server, without --server and EVERGRANT_SERVER.',
    );
  }
  const secret = await passphrase('new');
  const { startApp } = await import('../app.ts');
  const starting = startApp({ ...settings, log: 'warn' }, 'none');
  await using app = await closing(starting.catch((cause: unknown) => Promise.reject(notBeside(cause, settings))));
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

/** What to do about a server that runs on the folder depends on where its grants are. */
function notBeside(cause: unknown, { databaseUrl }: Settings): unknown {
  if (!(cause instanceof EvergrantError) || !cause.message.includes('in use by')) return cause;
  const remedy =
    databaseUrl === null
      ? 'Stop the server, export, and start it again. Nothing was exported, and nothing has ended.'
      : 'Give the export a data folder of its own: --data FOLDER. The nodes go on, and nothing has to stop.';
  return new EvergrantError('setting', cause.message, { remedy, cause });
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
