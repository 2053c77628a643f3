/**
 * Asks the person at the terminal, or reads the answers as lines from stdin. Questions go to stderr. Secrets are never
 * taken from an argument: every process of the machine can read those.
 */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { usageError } from './problem.ts';
import { readSecret } from './settings.ts';

export interface Asker {
  line(question: string): Promise<string>;
  /** The same without showing what is typed. */
  secret(question: string): Promise<string>;
}

/** Opens stdin for as long as `use` runs. */
export async function asking<T>(use: (asker: Asker) => Promise<T>): Promise<T> {
  const isTerminal = process.stdin.isTTY && process.stderr.isTTY;
  let muted = false;
  const echo = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (isTerminal && !muted) process.stderr.write(chunk);
      done();
    },
  });
  const reader = createInterface({ input: process.stdin, output: echo, terminal: isTerminal });
  const lines = reader[Symbol.asyncIterator]();
  reader.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const ask = async (question: string, hidden: boolean): Promise<string> => {
    if (isTerminal) process.stderr.write(`${question}: `);
    muted = hidden;
    const answer = await lines.next();
    if (muted && isTerminal) process.stderr.write('\n');
    muted = false;
    const words = answer.done ? '' : answer.value.trim();
    if (words === '') throw usageError(`${question}: nothing was given.`, 'Type it, or give it as a line on stdin.');
    return words;
  };
  try {
    return await use({ line: (question) => ask(question, false), secret: (question) => ask(question, true) });
  } finally {
    reader.close();
  }
}

/** The client secret of an app: from EVERGRANT_CLIENT_SECRET[_FILE], else asked for. */
export async function clientSecret(asker: Asker): Promise<string> {
  return readSecret('CLIENT_SECRET', process.env) ?? asker.secret('Client secret');
}

const SHORTEST_PASSPHRASE = 12;

/** Of a sealed file: from EVERGRANT_EXPORT_PASSPHRASE[_FILE], else asked for; a new one twice. */
export async function passphrase(which: 'new' | 'known'): Promise<string> {
  const given = readSecret('EXPORT_PASSPHRASE', process.env);
  const found = given ?? (await asking(async (asker) => typed(asker, which)));
  if (which === 'known' || found.length >= SHORTEST_PASSPHRASE) return found;
  throw usageError(`The passphrase has fewer than ${SHORTEST_PASSPHRASE} characters.`, 'Take a longer one.');
}

async function typed(asker: Asker, which: 'new' | 'known'): Promise<string> {
  const first = await asker.secret('Passphrase of the file');
  if (which === 'new' && (await asker.secret('The same again')) !== first) {
    throw usageError('The two are not the same.', 'Type it again.');
  }
  return first;
}

/** Whether a person says yes; without a terminal nobody is asked. */
export async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return true;
  const answer = await asking((asker) => asker.line(`${question} Type yes to go on`));
  return answer.toLowerCase() === 'yes';
}
