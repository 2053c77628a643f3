/** `evergrant exec`: a command with a fresh access token in its environment, and without any key of Evergrant. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Command } from 'commander';
import { withApi } from './api.ts';
import { asObject, text } from './json.ts';
import { apiCommand, seconds } from './options.ts';
import { usageError } from './problem.ts';

interface ExecOptions {
  readonly as: string;
  readonly minTtl?: number;
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** What the command could use to get further than the token that it is given. */
const OWN_SECRETS = /^EVERGRANT_(API_KEY|ADMIN_KEY|ROOT_KEY|CLIENT_SECRET|DATABASE_URL|EXPORT_PASSPHRASE)(_FILE)?$/;

export function command(): Command {
  return apiCommand('exec', 'Run a command with a fresh access token in its environment: exec ALIAS -- COMMAND')
    .argument('<alias>', 'alias or id of the grant')
    .argument('<command...>', 'the command, after --')
    .option('--as <NAME>', 'the variable that holds the token', 'ACCESS_TOKEN')
    .option('--min-ttl <S>', 'it must live at least so many seconds', seconds)
    .action(run);
}

async function run(alias: string, words: readonly string[], options: ExecOptions): Promise<void> {
  if (!/^[A-Za-z_]\w*$/.test(options.as)) throw usageError(`"${options.as}" names no variable.`, 'Use letters and _.');
  const query = options.minTtl === undefined ? '' : `?min_ttl=${options.minTtl}`;
  const path = `/v1/grants/${encodeURIComponent(alias)}/token${query}`;
  const answer = asObject(await withApi({ ...options }, 'none', (api) => api.call('GET', path)));
  process.exitCode = await start(words, { ...withoutSecrets(), [options.as]: text(answer, 'access_token') });
}

function withoutSecrets(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !OWN_SECRETS.test(name)));
}

/** Ends as the command ends: with its code, or as a shell tells the signal. */
function start([program = '', ...words]: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(program, words, { env, stdio: 'inherit' });
  // A terminal sends Ctrl-C to both; the command decides what comes of it.
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      reject(usageError(`${program} does not start (${cause.code ?? 'unknown'}).`, 'Check the command after --.'));
    });
    child.once('exit', (code, signal) => resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
  });
}
