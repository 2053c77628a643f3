/** Addresses with `{variable}` in them. */

const VARIABLE = /\{([^{}]*)\}/g;

/** The names of the variables in an address. */
export function variablesIn(address: string): readonly string[] {
  return [...address.matchAll(VARIABLE)].map((match) => match[1] ?? '');
}

/** The address with every variable replaced; a name without a value stays as it is. */
export function fill(address: string, values: Readonly<Record<string, string>>): string {
  return address.replace(
    VARIABLE,
    (whole, name: string) => (Object.hasOwn(values, name) ? values[name] : undefined) ?? whole,
  );
}
