/** All providers there are: those that come with Evergrant, and those that an operator added, which win. */
import type { Instant } from '../core/instant.ts';
import { type DatedProvider, loadProvider } from './dated.ts';
import type { FileText } from './parse.ts';
import type { Catalogue, Provider } from './provider.ts';
import { wrongFile } from './wrong-file.ts';

/** The files' texts, as they lie in the folders. */
export interface ProviderFiles {
  readonly builtIn: readonly FileText[];
  /** Of the folder that an operator named; only these may use http and loopback. */
  readonly extra: readonly FileText[];
  /** Asked at each look-up, so that an announced change takes effect on its date without a restart. */
  readonly now: () => Instant;
}

/** Throws `setting` for a file that is wrong, or two in one folder with the same id. */
export function catalogue({ builtIn, extra, now }: ProviderFiles): Catalogue {
  const providers = new Map<string, DatedProvider>([
    ...load(builtIn, 'public').entries(),
    ...load(extra, 'local').entries(),
  ]);
  return {
    get: (id): Provider | null => providers.get(id)?.at(now()) ?? null,
    list: () =>
      [...providers.values()].map((provider) => provider.at(now())).toSorted((a, b) => a.id.localeCompare(b.id, 'en')),
  };
}

function load(files: readonly FileText[], reach: 'public' | 'local'): Map<string, DatedProvider> {
  const loaded = new Map<string, DatedProvider>();
  for (const file of files) {
    const provider = loadProvider(file, reach);
    if (loaded.has(provider.id))
      throw wrongFile(file.name, [{ at: '/id', reason: `another file has the id ${provider.id}` }]);
    loaded.set(provider.id, provider);
  }
  return loaded;
}
