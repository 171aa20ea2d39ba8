import { type ChildProcess, spawn } from 'node:child_process';
import { hostname } from 'node:os';
import { machineIdentity, processIdentity } from '@locmoe/run-format/process-identity';
import { expect, it, onTestFinished } from 'vitest';
import { coordinatorProcess, processesOf, send } from '../../src/chaos/run-process.js';
import type { StatusReply, WorkerProgress } from '../../src/rpc/generated/messages.js';
import { OVER } from '../coordinator/saved-run.js';

/** A record that says this process leads the run at port 7000. */
const RECORD = {
  ...OVER,
  state: 'running',
  address: '127.0.0.1:7000',
  machine: machineIdentity(),
  pid: process.pid,
  process: processIdentity(process.pid),
};

/** Starts a process that does nothing, with a command line of its own; it ends with the test. */
function idle(...words: string[]): ChildProcess {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => 0, 1e6)', ...words], { stdio: 'ignore' });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  return child;
}

function status(agents: readonly number[], workers: readonly number[], host = hostname()): StatusReply {
  return {
    nodes: agents.map((pid, node) => ({ node, host, pid })),
    workers: workers.map((pid, rank) => ({ rank, pid }) as WorkerProgress),
  } as unknown as StatusReply;
}

it('of the processes that a status names, those are spared that are not the run’s', () => {
  const agent = idle('node', '--coordinator', '127.0.0.1:7000').pid!;
  const another = idle('node', '--coordinator', '127.0.0.1:7001').pid!;
  const foreign = idle('something', 'else').pid!;
  expect(processesOf(RECORD, status([another, foreign, process.pid, 1], [foreign, 1])).agents).toEqual([]);
  expect(processesOf(RECORD, status([agent], [], 'elsewhere')).agents).toEqual([]);

  const found = processesOf(RECORD, status([agent], [agent, foreign, 1]));
  expect(found.agents).toEqual([{ node: 0, pid: agent, identity: processIdentity(agent) }]);
  // None is a child of the agent.
  expect(found.workers).toEqual([]);
});

it('a coordinator on another machine, of another user, or that is another process by now is refused', () => {
  expect(coordinatorProcess(RECORD)).toEqual({ pid: process.pid, identity: RECORD.process });
  for (const change of [{ machine: 'elsewhere/pid:[1]' }, { pid: 1 }, { process: 'boot/1' }])
    expect(() => coordinatorProcess({ ...RECORD, ...change })).toThrow('no process of this user');
});

it('a process that has another one’s id by now gets no signal', () => {
  const { pid } = idle();
  expect(() => send({ pid: pid!, identity: 'boot/1' }, 'SIGKILL')).toThrow(/has ended meanwhile/);
  expect(processIdentity(pid!)).not.toBe('');
});
