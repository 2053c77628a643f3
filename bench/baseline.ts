/**
 * The least that a server of Node can do: answers every request with the bytes that it was given, once the request has
 * arrived. Started with a message `{ headers, body }`, it sends its port.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SameBytes {
  readonly headers: readonly string[];
  readonly body: string;
}

process.once('message', (message) => {
  const { headers, body } = message as SameBytes;
  const bytes = Buffer.from(body);
  const server = createServer((request, response) => {
    request.resume();
    request.once('end', () => response.writeHead(200, [...headers]).end(bytes));
  });
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
});
process.once('disconnect', () => process.exit());
