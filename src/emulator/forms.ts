/** Which providers can be emulated: every provider file, and profiles that have rules of their own. */
import { type FileText, parseJson } from '../catalogue/parse.ts';
import type { Instant } from '../core/instant.ts';
import { isObject } from '../oauth/json.ts';
import { auth0Form } from './auth0.ts';
import { exactOnline } from './exact-online.ts';
import type { Form } from './form.ts';
import { genericForm } from './generic.ts';
import { googleForm } from './google.ts';
import { setAt } from './pointers.ts';
import type { Document } from './provider-file.ts';
import { truelayer, truelayer2019 } from './truelayer.ts';

const BUILT_IN: readonly Form[] = [exactOnline, truelayer, truelayer2019];

/** Live refresh tokens of one user and app at Google: documented in 2026, and on pages of 2017. */
const GOOGLE_WINDOWS = { google: 100, 'google-50': 50 };

/** Forms that need no file. */
export function builtInForm(id: string): Form | null {
  return BUILT_IN.find((one) => one.id === id) ?? null;
}

/** What the form of a file is called: `google.json` gives two. */
export function namesOfFile(id: string): readonly string[] {
  return id === 'google' ? Object.keys(GOOGLE_WINDOWS) : [id];
}

export const BUILT_IN_NAMES: readonly string[] = BUILT_IN.map(({ id }) => id);

/** The file that a name comes from. */
export const fileOfName = (name: string): string => (Object.hasOwn(GOOGLE_WINDOWS, name) ? 'google' : name);

/** A form of a file that came with Evergrant. Throws `setting` where it is wrong. */
export function formOfName(name: string, file: FileText, now: Instant): Form {
  const document = documentOf(file, now);
  if (name === 'auth0') return auth0Form(file.name, document);
  const window = Object.entries(GOOGLE_WINDOWS).find(([id]) => id === name)?.[1];
  return window === undefined
    ? genericForm(file.name, document)
    : googleForm(file.name, document, { id: name, window });
}

/** Anybody's provider file, played by its policy. Throws `setting` where it is wrong. */
export function formOfFile(file: FileText, now: Instant): Form {
  return genericForm(file.name, documentOf(file, now));
}

/** What a file says on a day, with the changes of the days before. */
function documentOf(file: FileText, now: Instant): Document {
  const parsed = parseJson(file);
  if (!isObject(parsed)) return {};
  const document = structuredClone(parsed) as Record<string, unknown>;
  const changes: readonly unknown[] = Array.isArray(document.changes) ? document.changes : [];
  const inOrder = changes.filter(isObject).toSorted((a, b) => String(a.from).localeCompare(String(b.from), 'en'));
  for (const change of inOrder) {
    if (!isObject(change.set) || Date.parse(String(change.from)) > now) continue;
    for (const [pointer, value] of Object.entries(change.set)) setAt(document, pointer, value);
  }
  return { ...document, changes: [] };
}
