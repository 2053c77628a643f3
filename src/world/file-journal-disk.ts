/** The calls of the journal that reach the disk; a test counts them, or makes one fail. */
import { open, readFile, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from './new-file.ts';

export interface Disk {
  /** A new file, whose name outlives a loss of power. */
  create(path: string): Promise<FileHandle>;
  write(file: FileHandle, bytes: Uint8Array, position: number): Promise<void>;
  sync(file: FileHandle): Promise<void>;
  read(file: FileHandle, length: number, position: number): Promise<Uint8Array>;
  readWhole(path: string): Promise<Buffer>;
  remove(path: string): Promise<void>;
}

export const nodeDisk: Disk = {
  async create(path) {
    const file = await open(path, 'wx+', 0o600);
    syncFolder(dirname(path));
    return file;
  },
  async write(file, bytes, position) {
    for (let done = 0; done < bytes.length; ) {
      done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
    }
  },
  sync: (file) => file.sync(),
  async read(file, length, position) {
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await file.read(bytes, 0, length, position);
    return bytes.subarray(0, bytesRead);
  },
  readWhole: (path) => readFile(path),
  remove: (path) => rm(path, { force: true }),
};
