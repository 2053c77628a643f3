/** What commands ask for before they add an app at a provider. */
import { readFileSync } from 'node:fs';
import type { Api } from './api.ts';
import { didYouMean } from './did-you-mean.ts';
import { asObject, type Json, objects, text } from './json.ts';
import { Refused, usageError } from './problem.ts';

/** The provider; refused before anybody types a secret where there is none of this name. */
export async function knownProvider(api: Api, provider: string): Promise<Json> {
  const page = asObject(await api.call('GET', '/v1/providers'));
  const known = objects(page.items);
  const found = known.find((one) => text(one, 'id') === provider);
  if (found) return found;
  const ids = known.map((one) => text(one, 'id'));
  throw new Refused({
    status: 400,
    code: 'unknown_provider',
    title: 'There is no such provider',
    detail: `There is no provider or app called ${provider}.${didYouMean(provider, ids)}`,
    remedy: 'See them all: evergrant providers list',
  });
}

/** The private key of an app, as its file has it. */
export function privateKeyIn(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw usageError(`${file} cannot be read.`, 'Name the file that holds the private key of the app.');
  }
}
