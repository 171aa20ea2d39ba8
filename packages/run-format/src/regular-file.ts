import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  type Stats,
  statfsSync,
  statSync,
} from 'node:fs';
import { TrainerError } from './errors.js';

/** Types of file systems whose files the kernel makes when they are read: proc, sysfs, debugfs, tracefs, cgroup2. */
const KERNEL_FILE_SYSTEMS = [0x9fa0, 0x62656572, 0x64626720, 0x74726163, 0x63677270];

/**
 * Reads a file that is another's: a user names it, or others write in its folder too.
 *
 * @throws TrainerError as `assertRegular`, or if it is larger than `maxBytes`; the file system's error
 */
export function readRegularFile(file: string, maxBytes = Number.POSITIVE_INFINITY): Buffer {
  const fd = openRegular(file);
  try {
    const { size } = fstatSync(fd);
    if (size > maxBytes)
      throw new TrainerError('BAD_INPUT', `${file}: has ${size} bytes; at most ${maxBytes} are read`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Opens a file that is another's for reading, without waiting for a pipe that takes its place between look and opening.
 *
 * @returns its descriptor
 * @throws TrainerError as `assertRegular`; the file system's error
 */
export function openRegular(file: string): number {
  assertRegular(file);
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const other = kindOf(fstatSync(fd));
  if (other === null) return fd;
  closeSync(fd);
  throw irregular(file, other);
}

/**
 * To be called before a file is opened: opening a pipe waits for its other end, and a device never ends.
 *
 * @throws TrainerError `BAD_INPUT` if it is a folder, a pipe, a device or made by the kernel; the file system's error if
 *   there is none
 */
export function assertRegular(file: string): Stats {
  const stats = statSync(file);
  const other = isOfKernel(file) ? "one of the kernel's" : kindOf(stats);
  if (other !== null) throw irregular(file, other);
  return stats;
}

function irregular(file: string, kind: string): TrainerError {
  return new TrainerError('BAD_INPUT', `${file}: is no regular file but ${kind}`);
}

/** Names the kind of a file that is not regular; null for a regular one. */
export function kindOf(stats: Stats): string | null {
  if (stats.isFile()) return null;
  if (stats.isDirectory()) return 'a folder';
  if (stats.isFIFO()) return 'a pipe';
  return stats.isSocket() ? 'a socket' : 'a device';
}

/** Whether a file or folder is under /proc, /sys or the like, where files have no end, or reading them waits. */
export function isOfKernel(file: string): boolean {
  return KERNEL_FILE_SYSTEMS.includes(statfsSync(file).type);
}
