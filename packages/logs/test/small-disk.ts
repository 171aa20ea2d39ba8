import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

/** Why a test that needs a small disk is skipped. */
export const NO_SMALL_DISK = 'only root mounts a file system';

/** Mounts a file system of `bytes` bytes, unmounted after the test; null if this process may not mount. */
export function smallDisk(bytes: number): string | null {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-disk-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
  onTestFinished(() => {
    if (status === 0) spawnSync('umount', ['--lazy', folder]);
    rmSync(folder, { recursive: true });
  });
  return status === 0 ? folder : null;
}
