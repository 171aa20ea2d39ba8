import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Session } from '../../src/agent/session.js';
import { CoordinatorClient } from '../../src/rpc/coordinator-client.js';
import type { CoordinatorCommand } from '../../src/rpc/generated/messages.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { ScriptedCoordinator, until } from './support.js';

let coordinator: ScriptedCoordinator;
let client: CoordinatorClient;
let session: Session;
let commands: CoordinatorCommand[];
let ends: string[];

beforeEach(async () => {
  const started = await ScriptedCoordinator.start();
  coordinator = started.coordinator;
  client = new CoordinatorClient(started.address, NO_SECURITY);
  [commands, ends] = [[], []];
  const member = { runId: 'run-a', generation: 3, node: 1, dataAddress: '127.0.0.1:9' };
  session = new Session(client.session(member), {
    command: (command) => commands.push(command),
    ended: (reason) => ends.push(reason),
  });
  await until(() => coordinator.sessions.length === 1);
});

afterEach(() => {
  vi.useRealTimers();
  client.close();
});

describe('a session', () => {
  it('says which member of which run it speaks for', () => {
    const { metadata } = coordinator.sessions[0];
    expect(['run-id', 'generation', 'node', 'data-address'].map((name) => metadata.get(name)[0])).toEqual([
      'run-a',
      '3',
      '1',
      '127.0.0.1:9',
    ]);
  });

  it('is not ready while the coordinator does not read, and is again once it does', async () => {
    coordinator.sessions[0].pause();
    const line = 'x'.repeat(1 << 16);
    for (let i = 0; i < 200 && session.isReady; i++) {
      session.send({ event: 'logs', logs: { lines: [line], dropped: 0 } });
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(session.isReady).toBe(false);
    coordinator.sessions[0].resume();
    await until(() => session.isReady);
  });

  it('whose coordinator vanishes ends once, and takes nothing more', async () => {
    coordinator.vanish();
    await until(() => ends.length > 0);
    expect(session.isReady).toBe(false);
    session.send({ event: 'ready', ready: {} });
    await session.close();
    expect(ends).toHaveLength(1);
  });

  it('that the coordinator ends says so', async () => {
    coordinator.sessions[0].end();
    await until(() => ends.length > 0);
    expect(ends).toEqual(['the coordinator ended the session']);
  });

  it('that the coordinator refuses ends with its words', async () => {
    coordinator.sessions[0].emit('error', {
      code: status.FAILED_PRECONDITION,
      details: 'generation 3 is over',
    });
    await until(() => ends.length > 0);
    expect(ends[0]).toContain('generation 3 is over');
  });
});

describe('closing', () => {
  it('waits until the coordinator has read all, and is no end that the owner hears of', async () => {
    for (let i = 0; i < 20; i++)
      session.send({ event: 'logs', logs: { lines: ['x'.repeat(1 << 16)], dropped: i } });
    await session.close();
    expect(coordinator.all('logs').map(({ dropped }) => dropped)).toEqual([...Array(20).keys()]);
    expect(ends).toEqual([]);
  });

  it('waits at most a second for a coordinator that does not answer', async () => {
    coordinator.sessions[0].removeAllListeners('end');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let closed = false;
    const closing = session.close().then(() => {
      closed = true;
    });
    await vi.advanceTimersByTimeAsync(999);
    expect(closed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await closing;
  });
});
