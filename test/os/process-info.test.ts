import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { processIdentity } from '@locmoe/run-format/process-identity';
import { describe, expect, it } from 'vitest';
import { isRunning, processInfo, processTree, proportionalBytes } from '../../src/os/process-info.js';

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

  it('does not take one that has ended and waits to be reaped for running', async () => {
    const parent = spawn('sh', ['-c', 'sleep 0.1 & echo $!; exec sleep 60']);
    try {
      const child = Number(await once(parent.stdout, 'data'));
      await expect.poll(() => processInfo(child).state).toBe('Z');
      expect(isRunning(child)).toBe(false);
      expect(isRunning(parent.pid!)).toBe(true);
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it('tells a process from any other, and knows none that is gone', () => {
    expect(processIdentity(process.pid)).toMatch(/^[0-9a-f-]{36}\/\d+$/);
    expect(processIdentity(process.pid)).toBe(processIdentity(process.pid));
    expect(processIdentity(process.ppid)).not.toBe(processIdentity(process.pid));
    expect(processIdentity(2 ** 22 + 1)).toBe('');
  });
});

describe('processTree', () => {
  it('has a process and what descends from it, and the memory of each', async () => {
    const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; wait']);
    try {
      const child = Number(await once(parent.stdout, 'data'));
      expect(processTree([parent.pid!]).sort()).toEqual([parent.pid!, child].sort());
      expect(processTree([])).toEqual([]);
      // Until it has become `sleep`, the child is a copy of the shell, whose memory it gives up between two readings.
      await expect.poll(() => readFileSync(`/proc/${child}/comm`, 'utf8')).toBe('sleep\n');
      await expect.poll(() => processInfo(child).state).toBe('S');
      expect(proportionalBytes(child)).toBeGreaterThan(0);
      expect(proportionalBytes(child)).toBeLessThanOrEqual(processInfo(child).residentBytes);
      process.kill(child, 'SIGKILL');
    } finally {
      parent.kill('SIGKILL');
    }
    expect(proportionalBytes(2 ** 22 + 1)).toBe(0);
  });
});
