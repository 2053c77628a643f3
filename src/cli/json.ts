/** Reads what the API answered, field by field, without trusting its shape. */

export type Json = Readonly<Record<string, unknown>>;

/** The value as an object; an empty one when it is something else. */
export function asObject(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

/** The text of a field; numbers and booleans as text; empty when it is missing, null or something else. */
export function text(object: Json, name: string): string {
  const value = object[name];
  return typeof value === 'string'
    ? value
    : typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : '';
}

export function objects(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(asObject) : [];
}

export function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
