/**
 * Faults that are planted in a server to see that the judges find them: loaded before everything else in its process
 * (`--import`), it changes one line of the source that is named by `PLANTED`.
 */
import { type LoadFnOutput, registerHooks } from 'node:module';

interface Fault {
  readonly file: string;
  readonly line: string;
  readonly becomes: string;
}

export const PLANTED = {
  'an answer is not written down': {
    file: '/src/keeper/exchange.ts',
    line: "  await toJournal(parts, { purpose: 'exchange', grant, link, presented, ...told, receivedAt, answer: sealed });\n",
    becomes: '',
  },
  'an answer is waited for during a third of the time': {
    file: '/src/core/next-step.ts',
    line: 'REQUEST_TIMEOUT_MS = 120_000',
    becomes: 'REQUEST_TIMEOUT_MS = 40_000',
  },
  'nothing is taken from an answer that was cut off': {
    file: '/src/oauth/token-response.ts',
    line: 'return { ...readPartialJson(text), text };',
    becomes: "return { ...readPartialJson(answer.complete ? text : '{}'), text };",
  },
  'a stop waits for no answer': {
    file: '/src/app.ts',
    line: '  await keeper.drain(drainMs);\n',
    becomes: '  process.exit(0);\n',
  },
} as const satisfies Record<string, Fault>;

export type PlantedName = keyof typeof PLANTED;

function sourceOf(source: LoadFnOutput['source']): string {
  if (typeof source === 'string') return source;
  return new TextDecoder().decode(source ?? new Uint8Array());
}

function plant({ file, line, becomes }: Fault): void {
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context);
      if (!url.endsWith(file)) return loaded;
      const source = sourceOf(loaded.source);
      if (!source.includes(line)) throw new Error(`${file} has no line "${line.trim()}" any more`);
      return { ...loaded, source: source.replace(line, becomes) };
    },
  });
}

const name = process.env.CHAOS_PLANTED;
if (name !== undefined) plant(PLANTED[name as PlantedName]);
