/**
 * Which room may import which: the table of ARCHITECTURE.md, as the tidy test reads it. A room may always import
 * itself; packages and `node:` modules are no rooms.
 */

/** Folders under src, and the files of composition beside them. */
export const ARROWS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  oauth: ['core'],
  catalogue: ['core', 'ports'],
  ports: ['core'],
  keeper: ['core', 'oauth', 'catalogue', 'ports'],
  issuer: ['core', 'oauth', 'ports', 'keeper'],
  emulator: ['core', 'oauth', 'catalogue', 'ports'],
  storage: ['core', 'ports'],
  world: ['core', 'ports'],
  access: ['core', 'ports'],
  http: ['core', 'oauth', 'ports', 'catalogue', 'keeper', 'issuer', 'access'],
  sim: ['core', 'catalogue', 'ports', 'keeper', 'issuer', 'emulator', 'storage'],
  workers: ['core', 'oauth', 'ports', 'keeper', 'issuer', 'http'],
  client: [],
  dashboard: ['client'],
  // Core for its one table of errors and exit codes: pure, and light to load.
  cli: ['core', 'app.ts', 'emulator.ts', 'simulate.ts', 'client'],
  'app.ts': ['core', 'catalogue', 'ports', 'keeper', 'issuer', 'storage', 'world', 'http', 'access', 'workers'],
  'worker.ts': ['catalogue', 'issuer', 'world', 'http', 'access', 'workers'],
  'emulator.ts': ['core', 'catalogue', 'ports', 'emulator', 'storage', 'world'],
  'simulate.ts': ['core', 'catalogue', 'ports', 'keeper', 'issuer', 'emulator', 'storage', 'sim', 'world'],
};

/** Rooms that may take only these from Node, because they stay pure; others may take anything. */
export const NODE_MODULES: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  core: { 'node:crypto': ['createHash', 'createHmac', 'timingSafeEqual'] },
  oauth: { 'node:crypto': ['createHash', 'createHmac', 'timingSafeEqual'] },
  client: {},
  dashboard: {},
};

/** Where reaching begins: what people and programs start or import from outside. */
export const ENTRIES = [
  'src/cli/main.ts',
  'src/app.ts',
  'src/worker.ts',
  'src/emulator.ts',
  'src/simulate.ts',
  'src/client/evergrant.ts',
];
