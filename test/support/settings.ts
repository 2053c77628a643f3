/** The settings of a server for tests: a free port of loopback, nothing logged, and what a test wants otherwise. */
import type { Settings } from '../../src/app.ts';

export function settingsFor(dataFolder: string, change: Partial<Settings> = {}): Settings {
  return {
    listen: { host: '127.0.0.1', port: 0 },
    dataFolder,
    databaseUrl: null,
    databaseListenUrl: null,
    databaseConnections: 10,
    nodeId: null,
    publicUrl: 'http://127.0.0.1:0',
    rootKey: null,
    adminKey: null,
    providersFolder: null,
    allowPrivateUpstream: [],
    insecureHttp: false,
    trustedProxies: [],
    proxyListen: null,
    proxyCacheBytes: 0,
    workers: 1,
    drainMs: 125_000,
    log: 'silent',
    ...change,
  };
}
