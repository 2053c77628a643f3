/**
 * Members of Node's modules, for commands that should not be felt. `import` would load every member of these modules,
 * those too that Node itself loads only when somebody uses them.
 */
export const { existsSync, readFileSync, statSync } = process.getBuiltinModule('node:fs');
export const { isIP } = process.getBuiltinModule('node:net');
export const { stripVTControlCharacters, styleText } = process.getBuiltinModule('node:util');

const path = process.getBuiltinModule('node:path');
export const join = (...parts: readonly string[]): string => path.join(...parts);
export const resolve = (...parts: readonly string[]): string => path.resolve(...parts);
