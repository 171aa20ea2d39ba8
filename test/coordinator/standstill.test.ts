import { spawn } from 'node:child_process';
import { hostname } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import type { Coordinator } from '../../src/coordinator/coordinator.js';
import { processInfo } from '../../src/os/process-info.js';
import { VERSION } from '../../src/rpc/version.js';
import { coordinatorOf } from './coordinator-of.js';

let coordinator: Coordinator;
let warnings: string[];

/** Milliseconds that the clock is ahead of the real one; raising it simulates that the process stood still. */
let aheadMs: number;

beforeEach(() => {
  aheadMs = 0;
  vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] });
  const now = performance.now.bind(performance);
  vi.spyOn(performance, 'now').mockImplementation(() => now() + aheadMs);
  warnings = [];
  coordinator = coordinate(false);
});

function coordinate(nodesAreReplaceable: boolean): Coordinator {
  const config = loadConfig('tiny', { nodes: 2, workersPerNode: 1 });
  const onLine = (line: string) => warnings.push(JSON.parse(line).msg);
  return coordinatorOf(config, { nodesAreReplaceable, onLine }).coordinator;
}

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

function connect(pids: readonly number[]): void {
  for (const [i, pid] of pids.entries())
    coordinator.admission.join({ host: hostname(), pid, dataAddress: `a:${i + 1}`, version: VERSION });
  for (const i of pids.keys())
    coordinator.admission.connect(i, `a:${i + 1}`, { send: () => undefined, close: () => undefined });
}

describe('a coordinator that stood still', () => {
  it('is itself to blame when its nodes have left it', async () => {
    connect([11, 12]);
    aheadMs = 17_000;
    coordinator.disconnect(0, 'its connection broke');
    coordinator.disconnect(1, 'its connection broke');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(coordinator.lifecycle.failure).toMatchObject({ culprit: null, error: { code: 'NODE_LOST' } });
    expect(coordinator.lifecycle.failure?.error.message).toMatch(
      /^the coordinator stood still for 16\.\d s, and its nodes took it for gone \(node 0: node agent on .* its connection broke\)$/,
    );
    expect(warnings).toEqual([
      expect.stringMatching(/^the coordinator stood still for 16\.\d s: stopped/),
      expect.stringMatching(/^the run failed: the coordinator stood still for 16\.\d s, and its nodes/),
      'run is failed',
    ]);
  });

  it('does not take the blame of a node that a signal ended', async () => {
    connect([11, 12]);
    aheadMs = 17_000;
    coordinator.agentEnded(11, { how: 'was killed by SIGKILL', exitCode: null, signal: 'SIGKILL' });
    coordinator.disconnect(1, 'its connection broke');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(coordinator.lifecycle.failure?.culprit).toMatchObject({ pid: 11, signal: 'SIGKILL' });
  });

  it('blames nobody for silence meanwhile, and says so where it was more than 2 s', async () => {
    connect([11, 12]);
    aheadMs = 1_900;
    await vi.advanceTimersByTimeAsync(500);
    expect(warnings).toEqual([]);
    aheadMs = 30_000;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(warnings).toHaveLength(1);
    expect(coordinator.lifecycle.state.kind).toBe('starting');
  });
});

describe('an agent of this machine that is stopped', () => {
  let pid: number;

  beforeEach(async () => {
    pid = spawn('sleep', ['60']).pid!;
    process.kill(pid, 'SIGSTOP');
    while (processInfo(pid).state !== 'T') await setImmediate();
  });

  afterEach(() => process.kill(pid, 'SIGKILL'));

  it('is said to be stopped, and is not waited for as long as one that is only silent', async () => {
    connect([pid, 12]);
    await vi.advanceTimersByTimeAsync(4_500);
    coordinator.receive(1, { event: 'heartbeat', heartbeat: { workers: [], logQueueLines: 0 } });
    expect(coordinator.lifecycle.state.kind).toBe('starting');
    await vi.advanceTimersByTimeAsync(1_000 + 3_000);
    expect(coordinator.lifecycle.failure).toMatchObject({
      culprit: { pid },
      error: { message: expect.stringMatching(/was lost: it is stopped \(SIGSTOP\)$/) },
    });
  });

  it('only leaves its place to another while the run waits for nodes from elsewhere', async () => {
    coordinator.close();
    coordinator = coordinate(true);
    connect([pid]);
    await vi.advanceTimersByTimeAsync(6_000 + 3_000);
    expect(coordinator.lifecycle.state.kind).toBe('waiting');
    connect([12, 13]);
    expect(coordinator.lifecycle.state.kind).toBe('starting');
  });
});
