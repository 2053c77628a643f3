/**
 * One request to the API over Node's own client, which is loaded in half the time that `fetch` takes: a command that
 * prints a token should not be felt. Like `client/request.ts` it follows no redirect and repeats nothing.
 */
import type { IncomingMessage } from 'node:http';
import { type ApiAnswer, type ApiRequest, NoAnswer } from '../client/request.ts';

/** Sends it and reads the whole answer; rejects with `NoAnswer` and nothing else. */
export async function httpRequest({ origin, method, path, headers, body, timeoutMs }: ApiRequest): Promise<ApiAnswer> {
  // Imported as a module, `node:http` would load all of `fetch` for the sake of one of its names.
  const { request } = process.getBuiltinModule(origin.startsWith('https:') ? 'node:https' : 'node:http');
  const signal = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
      request(origin + path, { method, headers: { ...headers, ...length }, ...(signal && { signal }) }, resolve)
        .once('error', reject)
        .end(body);
    });
    const all = Object.entries(answer.headers).map(([name, value]) => [name, String(value)]);
    return { status: answer.statusCode ?? 0, headers: Object.fromEntries(all), body: await textOf(answer) };
  } catch (cause) {
    throw new NoAnswer(origin, signal?.aborted ? signal.reason : cause);
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  answer.setEncoding('utf8');
  let all = '';
  for await (const part of answer) all += String(part);
  return all;
}
