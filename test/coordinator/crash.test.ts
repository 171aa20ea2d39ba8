import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import type { Coordinator } from '../../src/coordinator/coordinator.js';
import { catchUncaught } from '../../src/coordinator/run-host.js';
import { TrainerError } from '../../src/errors.js';
import type { CoordinatorCommand } from '../../src/rpc/generated/messages.js';
import { VERSION } from '../../src/rpc/version.js';
import { coordinatorOf } from './coordinator-of.js';

const error = new TrainerError('INTERNAL', 'unforeseen');

let coordinator: Coordinator;
let commands: CoordinatorCommand[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  commands = [];
  ({ coordinator } = coordinatorOf(loadConfig('tiny', { nodes: 1, workersPerNode: 1 }), { level: 'error' }));
});

afterEach(() => {
  vi.useRealTimers();
});

function train(): void {
  const { node } = coordinator.admission.join({
    host: 'h',
    pid: 1,
    dataAddress: '127.0.0.1:1',
    version: VERSION,
  });
  coordinator.admission.connect(node, '127.0.0.1:1', {
    send: (command) => commands.push(command),
    close: () => undefined,
  });
  coordinator.receive(node, { event: 'ready', ready: {} });
  expect(coordinator.lifecycle.state.kind).toBe('running');
}

describe('an unforeseen error of the coordinator', () => {
  it('ends a run that does not train yet at once', () => {
    coordinator.crash(error);
    expect(coordinator.lifecycle.state).toEqual({ kind: 'failed', error });
  });

  it('does not wait for the last checkpoint for ever', () => {
    train();
    coordinator.crash(error);
    for (let second = 0; second < 59; second++) {
      vi.advanceTimersByTime(1_000);
      coordinator.receive(0, { event: 'heartbeat', heartbeat: { workers: [], logQueueLines: 0 } });
    }
    expect(coordinator.lifecycle.state.kind).toBe('stopping');
    vi.advanceTimersByTime(2_000);
    expect(coordinator.lifecycle.state).toEqual({ kind: 'failed', error });
  });
});

it('what nobody caught is told with its place, and has last words where the run cannot even end', async () => {
  const said: string[] = [];
  const told = new Promise<TrainerError>((resolve) => {
    const undo = catchUncaught({
      leader: {
        crash: () => {
          throw new Error('the next one');
        },
      },
      logger: { error: () => undefined },
      view: { print: (line) => said.push(line) },
      lastWords: (what) => {
        undo();
        resolve(what);
      },
    });
  });
  setImmediate(() => {
    throw new Error('boom');
  });
  const { code, message } = await told;
  expect(code).toBe('INTERNAL');
  expect(message).toMatch(/^unexpected error in the coordinator: boom \(at .*crash\.test\.ts:\d+:\d+\)+$/);
  expect(said).toEqual([message]);
});
