import { spawnSync } from 'node:child_process';
import { TrainerError } from '../../../errors.js';
import { programFile } from '../../../os/start-thread.js';
import type { DeviceInfo } from './commands.js';

export interface DeviceProbe extends DeviceInfo {
  /** Speed of its products, in operations per second; null of a driver that computes on the processor. */
  readonly flopsPerS: number | null;
}

const TIMEOUT_MS = 60_000;

/**
 * Opens the graphics device in a process of its own, as a driver that crashes ends its process.
 *
 * @param library path of Dawn's addon
 * @throws TrainerError `NO_RESOURCE` if there is none, or it does not answer
 */
export function probeDevice(library: string): DeviceProbe {
  const program = programFile(new URL('./probe.js', import.meta.url));
  const options = { encoding: 'utf8', timeout: TIMEOUT_MS } as const;
  const { status, signal, stdout, stderr, error } = spawnSync(process.execPath, [program, library], options);
  if (status === 0) return JSON.parse(stdout) as DeviceProbe;
  const own = /^TrainerError: (.*)$/m.exec(stderr)?.[1];
  throw new TrainerError(
    'NO_RESOURCE',
    own ?? `the driver ended with ${error?.message ?? signal ?? `code ${status}`}`,
  );
}
