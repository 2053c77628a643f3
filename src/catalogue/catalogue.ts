/** All providers there are: those that come with Evergrant, and those that an operator added, which win. */
import type { Instant } from '../core/instant.ts';
import { type DatedProvider, loadProvider } from './dated.ts';
import type { FileText } from './parse.ts';
import type { Catalogue, Provider } from './provider.ts';
import { wrongFile } from './wrong-file.ts';

/** The files' texts, as they lie in the folders. */
export interface ProviderFiles {
  /** Named after their ids, and read only when somebody asks for one: they are many, and tests have read them all. */
  readonly builtIn: readonly FileText[];
  /** Of the folder that an operator named; only these may use http and loopback. All are read at once. */
  readonly extra: readonly FileText[];
  /** Asked at each look-up, so that an announced change takes effect on its date without a restart. */
  readonly now: () => Instant;
}

/** Throws `setting` for a file that is wrong, or two in one folder with the same id. */
export function catalogue({ builtIn, extra, now }: ProviderFiles): Catalogue {
  const providers = new Map<string, () => DatedProvider>([...later(builtIn).entries(), ...load(extra).entries()]);
  const at = (provider: () => DatedProvider): Provider => provider().at(now());
  return {
    get(id) {
      const provider = providers.get(id);
      return provider ? at(provider) : null;
    },
    ids: () => [...providers.keys()].toSorted(),
    list: () => [...providers.values()].map(at).toSorted((a, b) => a.id.localeCompare(b.id, 'en')),
  };
}

function later(files: readonly FileText[]): Map<string, () => DatedProvider> {
  const known = new Map<string, () => DatedProvider>();
  for (const file of files) {
    const id = nameOf(file);
    if (known.has(id)) throw twice(file, id);
    known.set(
      id,
      once(() => loadAs(id, file)),
    );
  }
  return known;
}

function loadAs(id: string, file: FileText): DatedProvider {
  const provider = loadProvider(file, 'public');
  if (provider.id === id) return provider;
  throw wrongFile(file.name, [{ at: '/id', reason: `is ${provider.id}, and the file is called ${id}` }]);
}

function load(files: readonly FileText[]): Map<string, () => DatedProvider> {
  const loaded = new Map<string, () => DatedProvider>();
  for (const file of files) {
    const provider = loadProvider(file, 'local');
    if (loaded.has(provider.id)) throw twice(file, provider.id);
    loaded.set(provider.id, () => provider);
  }
  return loaded;
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** `exact-online` of `/some/where/exact-online.json`. */
function nameOf(file: FileText): string {
  return file.name.replace(/^.*[\\/]/, '').replace(/\.json$/, '');
}

function twice(file: FileText, id: string): Error {
  return wrongFile(file.name, [{ at: '/id', reason: `another file has the id ${id}` }]);
}
