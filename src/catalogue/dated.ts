/** A provider file over time: what it says today, and what it says from the dates on that its `changes` name. */
import { EvergrantError } from '../core/errors.ts';
import type { Instant } from '../core/instant.ts';
import type { Reach } from '../ports/network.ts';
import { type FileText, parseJson, parseProvider } from './parse.ts';
import type { Provider } from './provider.ts';
import { type ProviderFile, providerFile } from './schema.ts';
import { faultsOf, wrongFile } from './wrong-file.ts';

/** A provider with the changes that are already announced. Every stage was checked when it was loaded. */
export interface DatedProvider {
  readonly id: string;
  at(now: Instant): Provider;
}

/** Reads one file. Throws `setting` where it is wrong at any of its dates, so that no date brings a surprise. */
export function loadProvider(file: FileText, reach: Reach): DatedProvider {
  const document = parseJson(file);
  const first = parseProvider(file.name, document, reach);
  const stages = stagesOf(file.name, document, reach);
  return { id: first.id, at: (now) => stages.findLast((stage) => stage.from <= now)?.provider ?? first };
}

interface Stage {
  readonly from: number;
  readonly provider: Provider;
}

function stagesOf(name: string, document: unknown, reach: Reach): readonly Stage[] {
  const parsed = providerFile.safeParse(document);
  if (!parsed.success) throw wrongFile(name, faultsOf(parsed.error));
  const changes = (parsed.data.changes ?? [])
    .map((change, i) => ({ ...change, about: `/changes/${i}` }))
    .toSorted((a, b) => a.from.localeCompare(b.from));
  let current: ProviderFile = parsed.data;
  return changes.map(({ from, set, about }) => {
    const changed = { ...structuredClone(current), facts: factsAfter(current.facts ?? [], Object.keys(set), about) };
    for (const [pointer, value] of Object.entries(set)) setAt(name, changed, pointer, value);
    const provider = parseProvider(`${name} from ${from} on`, changed, reach);
    if (provider.id !== parsed.data.id) throw wrongFile(name, [{ at: '/changes', reason: 'the id cannot change' }]);
    current = changed;
    return { from: Date.parse(`${from}T00:00:00Z`), provider };
  });
}

type Facts = NonNullable<ProviderFile['facts']>;

/** What was known about a place gives way to what is known about the change of it. */
function factsAfter(facts: Facts, places: readonly string[], about: string): Facts {
  const kept = facts.filter((fact) => !places.some((place) => `${fact.about}/`.startsWith(`${place}/`)));
  const why = facts.filter((fact) => fact.about === about);
  return [...kept, ...places.flatMap((place) => why.map((fact) => ({ ...fact, about: place })))];
}

/** Sets a member, making the objects on the way that are not there; the result is checked as a whole afterwards. */
function setAt(name: string, document: object, pointer: string, value: unknown): void {
  const path = pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = path.pop();
  let parent: object = document;
  for (const segment of path) {
    const child: unknown = Object.hasOwn(parent, segment) ? Reflect.get(parent, segment) : undefined;
    const next = typeof child === 'object' && child !== null ? child : {};
    if (next !== child) define(parent, segment, next);
    parent = next;
  }
  if (last === undefined)
    throw new EvergrantError('setting', `${name}: a change must name a member.`, { remedy: 'Correct the file.' });
  define(parent, last, value);
}

/** Unlike an assignment, never reaches a prototype. */
function define(parent: object, name: string, value: unknown): void {
  Object.defineProperty(parent, name, { value, writable: true, enumerable: true, configurable: true });
}
