import { expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import type { CoordinatorCommand, Fault } from '../../src/rpc/generated/messages.js';
import { VERSION } from '../../src/rpc/version.js';
import { coordinatorOf } from './coordinator-of.js';

/** Starts a run of two nodes with two workers each, of which the second node has a session. */
function runWithNode(allowsFaults: boolean) {
  const config = loadConfig('tiny', { nodes: 2, workersPerNode: 2 });
  const { coordinator } = coordinatorOf(config, { allowsFaults });
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
