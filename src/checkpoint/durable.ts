import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, statfsSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { isDiskFull } from '@locmoe/logs/append-file';
import type { FileDigest } from '@locmoe/run-format';
import { TrainerError } from '../errors.js';

const CHUNK_BYTES = 4 << 20;

/**
 * Writes the concatenation of `parts` as a new file and syncs it to the disk.
 *
 * @throws TrainerError `DISK_FULL`, or `NO_RESOURCE` if the file cannot be written for another reason
 */
export function writeDurably(path: string, parts: Iterable<Uint8Array>): FileDigest {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    const file = openSync(path, 'w');
    try {
      for (const part of parts)
        for (let at = 0; at < part.length; ) {
          // The first write to a disk that fills up is short, and only the next one throws.
          const written = writeSync(file, part, at, Math.min(CHUNK_BYTES, part.length - at));
          hash.update(part.subarray(at, at + written));
          at += written;
          bytes += written;
        }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw asStorageError(error, `cannot write ${path} (stopped after ${bytes} bytes)`);
  }
  return { bytes, sha256: hash.digest('hex') };
}

/**
 * @param bytes number of bytes that must be free in the folder's file system
 * @throws TrainerError `DISK_FULL` if fewer bytes are free
 */
export function assertRoom(folder: string, bytes: number, what: string): void {
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= bytes) return;
  const [needed, free] = [bytes, bavail * bsize].map((each) => `${Math.ceil(each / 1e6)} MB`);
  throw new TrainerError('DISK_FULL', `${what} needs ${needed} in ${folder}, and ${free} are free`);
}

/** Renames, and syncs the new parent folder, so that the rename survives a power cut. */
export function renameDurably(from: string, to: string): void {
  renameSync(from, to);
  syncFolder(dirname(to));
}

export function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** Converts an error of the file system to a TrainerError `DISK_FULL` or `NO_RESOURCE`; returns other errors unchanged. */
export function asStorageError(error: unknown, what = 'the disk failed'): unknown {
  if (!(error instanceof Error) || !('code' in error) || error instanceof TrainerError) return error;
  const full = isDiskFull(error);
  const message = `${what}: ${error.message}${full ? '; free some space' : ''}`;
  return new TrainerError(full ? 'DISK_FULL' : 'NO_RESOURCE', message, {}, { cause: error });
}
