/** All commands: it loads only the one that was asked for, and turns what commander complains of into errors of ours. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { EvergrantError } from '../core/errors.ts';
import { usageError } from './problem.ts';

interface Entry {
  readonly about: string;
  readonly load: () => Promise<Command>;
  /** Goes on after its action has returned, until a signal stops it. */
  readonly stays?: true;
}

const COMMANDS: Readonly<Record<string, Entry>> = {
  serve: { stays: true, about: 'Run the server', load: async () => (await import('./serve.ts')).command() },
  connect: { about: 'Authorize in a browser', load: async () => (await import('./connect.ts')).command() },
  token: { about: 'Print a fresh access token', load: async () => (await import('./token.ts')).command() },
  exec: {
    about: 'Run a command with a fresh token in its environment',
    load: async () => (await import('./exec.ts')).command(),
  },
  'git-credential': {
    about: 'Give git a fresh token',
    load: async () => (await import('./git-credential.ts')).command(),
  },
  grants: { about: 'Look after grants', load: async () => (await import('./grants.ts')).command() },
  doctor: {
    about: 'Explain a grant, an error text, or how all is',
    load: async () => (await import('./doctor.ts')).command(),
  },
  import: { about: 'Take over grants from elsewhere', load: async () => (await import('./import.ts')).command() },
  export: { about: 'Hand grants over to another owner', load: async () => (await import('./export.ts')).command() },
  apps: { about: 'Look after apps', load: async () => (await import('./apps.ts')).command() },
  clients: { about: 'Look after clients', load: async () => (await import('./clients.ts')).command() },
  'api-keys': { about: 'Look after API keys', load: async () => (await import('./api-keys.ts')).command() },
  journal: { about: 'Look after the journals of nodes', load: async () => (await import('./journal.ts')).command() },
  providers: { about: 'Look at the catalogue', load: async () => (await import('./providers.ts')).command() },
  emulate: {
    stays: true,
    about: 'Run an emulated provider',
    load: async () => (await import('./emulate.ts')).emulateCommand(),
  },
  simulate: {
    about: 'Simulate nodes, providers and faults on a virtual clock',
    load: async () => (await import('./simulate.ts')).command(),
  },
  demo: {
    about: 'Watch it at work, with faults, in a minute',
    load: async () => (await import('./demo.ts')).command(),
  },
  config: { about: 'Check or print the settings', load: async () => (await import('./config.ts')).command() },
};

const EXIT_CODES = `
Exit codes: 0 done · 1 failed, not found or not allowed · 2 wrong usage · 3 a person is needed
            75 try later · 78 wrong setting, key, folder, port or Node version`;

/** Whether the command goes on after this, until a signal stops it. */
export async function run(words: readonly string[]): Promise<boolean> {
  const program = await buildProgram(words);
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return false;
    throw asProblemError(error, program, words);
  }
  return COMMANDS[words[0] ?? '']?.stays === true;
}

async function buildProgram(words: readonly string[]): Promise<Command> {
  const program = new Command('evergrant')
    .description('Keeps OAuth 2 grants alive and hands out fresh access tokens.')
    .version(version(), '-V, --version')
    .addHelpText('after', EXIT_CODES);
  // `evergrant help grants` wants the help of grants.
  const chosen = words[0] === 'help' ? words[1] : words[0];
  for (const [name, entry] of Object.entries(COMMANDS)) {
    if (name === chosen) program.addCommand((await entry.load()).summary(entry.about));
    else program.command(name).description(entry.about);
  }
  settle(program);
  return program;
}

function version(): string {
  const found: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return typeof found === 'object' && found !== null && 'version' in found ? String(found.version) : 'unknown';
}

/** The same manners for every command: errors are thrown and reported in one place, and `--json` is everywhere. */
function settle(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => {} });
  if (command.commands.length === 0 && !command.options.some((option) => option.long === '--json')) {
    command.option('--json', 'one JSON value, or one object a line, on stdout');
  }
  for (const child of command.commands) settle(child);
}

/** Commander's complaints as errors of ours; a wrong flag of `serve` is a wrong setting. */
function asProblemError(error: unknown, program: Command, words: readonly string[]): unknown {
  if (!(error instanceof CommanderError)) return error;
  const message = error.message.replace(/^error: /, '').replace(/\n\(?(Did you mean [^?]*\?)\)?/, '. $1');
  const remedy = `See: ${commandNamed(program, words)} --help`;
  if (error.code === 'commander.help') return usageError('No command was given.', remedy);
  const sentence = `${message.charAt(0).toUpperCase()}${message.slice(1)}${/[.?]$/.test(message) ? '' : '.'}`;
  if (words[0] !== 'serve' && words[0] !== 'config') return usageError(sentence, remedy);
  return new EvergrantError('setting', sentence, { remedy: `${remedy}, or docs/settings.md` });
}

/** The command that the first words name, as far as there is one. */
function commandNamed(program: Command, words: readonly string[]): string {
  const names = [program.name()];
  let known: Command | undefined = program;
  for (const word of words) {
    known = known.commands.find((one) => one.name() === word);
    if (!known) break;
    names.push(word);
  }
  return names.join(' ');
}
