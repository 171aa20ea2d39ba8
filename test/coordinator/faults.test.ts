import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LogStore } from '@locmoe/logs';
import { expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { Coordinator } from '../../src/coordinator/coordinator.js';
import { createLogger } from '../../src/logger.js';
import type { CoordinatorCommand, Fault } from '../../src/rpc/generated/messages.js';
import { VERSION } from '../../src/rpc/version.js';

/** A run of two nodes with two workers each, of which the second node has a session. */
function runWithNode(allowsFaults: boolean) {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-faults-'));
  const config = loadConfig('tiny', { nodes: 2, workersPerNode: 2 });
  const logs = new LogStore(path.join(folder, 'logs'), (error) => {
    throw error;
  });
  const coordinator = new Coordinator({
    identity: {
      runId: 'r1',
      generation: 1,
      config,
      runDir: folder,
      datasetDir: folder,
      resumeFrom: null,
      resumedStep: 0,
      initFrom: null,
    },
    logs,
    logger: createLogger({
      level: 'warn',
      origin: { run: 'r1', generation: 1 },
      destination: { write: () => undefined },
    }),
    listeners: [],
    joinTimeoutMs: 60_000,
    nodesAreReplaceable: false,
    allowsFaults,
  });
  onTestFinished(() => {
    coordinator.close();
    logs.close();
    rmSync(folder, { recursive: true });
  });
  const commands: CoordinatorCommand[] = [];
  for (const pid of [11, 12])
    coordinator.admission.join({ host: 'h', pid, dataAddress: `127.0.0.1:${pid}`, version: VERSION });
  coordinator.admission.connect(1, '127.0.0.1:12', {
    send: (command) => commands.push(command),
    close: () => undefined,
  });
  return { coordinator, commands };
}

const CUT: Fault = { node: 1, fault: 'link', link: { seconds: 2, bytesPerS: 0 } };

it('takes no fault unless it was started so', () => {
  const { coordinator, commands } = runWithNode(false);
  expect(coordinator.status().allowsFaults).toBe(false);
  expect(() => coordinator.injectFault(CUT)).toThrow('run r1 takes no faults: it was started without');
  expect(commands).toEqual([]);
});

it('passes a fault on to its node, and refuses one that no node could inflict', () => {
  const { coordinator, commands } = runWithNode(true);
  expect(coordinator.status().allowsFaults).toBe(true);
  expect(coordinator.status().nodes).toEqual([
    { node: 0, host: 'h', pid: 11 },
    { node: 1, host: 'h', pid: 12 },
  ]);
  const nan: Fault = {
    node: 1,
    fault: 'failpoint',
    failpoint: { rank: 2, specification: 'checkpoint.shard:full' },
  };
  coordinator.injectFault(CUT);
  coordinator.injectFault(nan);
  expect(commands).toEqual([
    { command: 'fault', fault: CUT },
    { command: 'fault', fault: nan },
  ]);
  const refused = [
    { ...CUT, node: 0 },
    { ...CUT, node: 2 },
    { ...CUT, link: { seconds: 1e9, bytesPerS: 0 } },
    { ...CUT, link: { seconds: 1, bytesPerS: Number.NaN } },
    { ...nan, failpoint: { rank: 1, specification: 'checkpoint.shard:full' } },
    { node: 1 },
  ];
  for (const fault of refused)
    expect(() => coordinator.injectFault(fault as Fault), JSON.stringify(fault)).toThrow(/node/);
  const misspelt: Fault = { ...nan, failpoint: { rank: 2, specification: 'checkpoint.shrad' } };
  expect(() => coordinator.injectFault(misspelt)).toThrow(/no failpoint "checkpoint.shrad"; there are/);
  expect(commands).toHaveLength(2);
});
