import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { processInfo } from '../../src/agent/process-info.js';

describe('processInfo', () => {
  it('sees a process stop and end', async () => {
    const child = spawn('sleep', ['60']);
    try {
      await expect.poll(() => processInfo(child.pid!).state).toBe('S');
      expect(processInfo(child.pid!).residentBytes).toBeGreaterThan(0);
      child.kill('SIGSTOP');
      await expect.poll(() => processInfo(child.pid!).state).toBe('T');
    } finally {
      child.kill('SIGKILL');
    }
    await expect.poll(() => processInfo(child.pid!)).toEqual({ state: 'X', residentBytes: 0 });
  });
});
