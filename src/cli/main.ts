/**
 * Where the command line begins: every failure becomes a message with a remedy and an exit code. Programs ask for tokens
 * again and again, so the plain form of `evergrant token` loads nothing that it does not need.
 */
import { say } from './output.ts';
import { describe, exitCodeOf, problemOf } from './problem.ts';

/** Whether the command goes on after this, until a signal stops it. */
async function run(words: readonly string[]): Promise<boolean> {
  if (words[0] === 'token' && (await (await import('./print-token.ts')).printPlain(words.slice(1)))) return false;
  return (await import('./program.ts')).run(words);
}

/** What stands after `--` belongs to somebody else. */
function wantsJson(words: readonly string[]): boolean {
  const end = words.indexOf('--');
  return words.slice(0, end === -1 ? words.length : end).includes('--json');
}

/** Whatever a command opened is closed by now: what still ticks must not keep the shell waiting. */
function leave(): void {
  process.stdout.write('', () => process.stderr.write('', () => process.exit()));
}

/** Whoever reads may stop reading (`| head`): no reason to fail, or to leave work undone. */
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const words = process.argv.slice(2);
try {
  const stays = await run(words);
  if (process.exitCode !== undefined || !stays) leave();
} catch (error) {
  const problem = problemOf(error);
  say(wantsJson(words) ? JSON.stringify(problem) : describe(problem));
  process.exitCode = exitCodeOf(problem);
  leave();
}
