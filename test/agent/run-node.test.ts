import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ParentWatch } from '../../src/agent/parent-watch.js';
import { type NodeOptions, runNode } from '../../src/agent/run-node.js';
import type { JoinReply } from '../../src/rpc/generated/messages.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { ScriptedCoordinator, temporaryFolder, until } from './support.js';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const REPLY: Omit<JoinReply, 'runDir'> = {
  runId: 'run-a',
  generation: 1,
  node: 0,
  datasetDir: '/',
  resumeFrom: '',
  initFrom: '',
  inheritance: null,
  term: 1,
  configJson: JSON.stringify({ logLevel: 'info', cluster: { nodes: 1, workersPerNode: 1 } }),
};

afterEach(() => {
  vi.restoreAllMocks();
  // However a node ends, it leaves no signal listener behind in the process.
  expect(SIGNALS.map((signal) => process.listenerCount(signal))).toEqual(numListeners);
});
const numListeners = SIGNALS.map((signal) => process.listenerCount(signal));

const parent = { pause: vi.fn(), resume: vi.fn() };

function node(address: string, changes: Partial<NodeOptions> = {}): Promise<number> {
  return runNode({
    coordinator: address,
    listen: '127.0.0.1:0',
    security: NO_SECURITY,
    joinTimeout: 5,
    output: (line) => process.stdout.write(`${line}\n`),
    parent: parent as unknown as ParentWatch,
    ...changes,
  });
}

/** Returns what the node prints, one line an entry. */
function captureLog(): string[] {
  const lines: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    lines.push(String(text));
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  return lines;
}

async function coordinatorWithPlace() {
  const started = await ScriptedCoordinator.start();
  started.coordinator.answerJoins({ ...REPLY, runDir: temporaryFolder() });
  return started;
}

describe('a node', () => {
  it('joins the next generation of a run that goes on, in its former place', async () => {
    captureLog();
    const { coordinator, address } = await coordinatorWithPlace();
    const ended = node(address);
    await until(() => coordinator.sessions.length === 1);
    coordinator.command({ command: 'abort', abort: { reason: 'rank 7 failed' } });
    await until(() => coordinator.all('leaving').length === 1);
    coordinator.command({ command: 'rejoin', rejoin: {} });
    await until(() => coordinator.sessions.length === 2);
    expect(parent.resume).toHaveBeenCalled();
    expect(coordinator.joins.map(({ formerNode }) => formerNode)).toEqual([undefined, REPLY.node]);
    coordinator.command({ command: 'farewell', farewell: {} });
    expect(await ended).toBe(0);
  });

  it('that is asked to end before its run starts gives its place back, as interrupted', async () => {
    captureLog();
    const { coordinator, address } = await coordinatorWithPlace();
    const ended = node(address);
    await until(() => coordinator.sessions.length === 1);
    process.emit('SIGINT', 'SIGINT');
    expect(await ended).toBe(130);
    expect(coordinator.all('leaving')).toHaveLength(1);
  });

  it('that has no run yet ends at once on a signal', async () => {
    const log = captureLog();
    const { coordinator, address } = await ScriptedCoordinator.start();
    coordinator.vanish();
    const exit = vi.spyOn(process, 'exit').mockImplementation((code) => {
      throw new Error(`exit ${code}`);
    });
    const ended = node(address, { joinTimeout: 3 });
    await until(() => log.some((line) => line.includes('waiting: no coordinator answers')));
    expect(() => process.emit('SIGTERM', 'SIGTERM')).toThrow('exit 130');
    exit.mockRestore();
    await expect(ended).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it.each([
    [
      'a coordinator that is no address',
      { coordinator: 'here' },
      'BAD_INPUT',
      /^--coordinator here: expected HOST/,
    ],
    ['an address to listen at that is none', { listen: '7' }, 'BAD_INPUT', /^--listen 7: expected HOST/],
    ['plain text beyond loopback', { listen: '0.0.0.0:0' }, 'BAD_INPUT', /--listen 0\.0\.0\.0/],
  ])('refuses %s in one line', async (_what, changes, code, message) => {
    const error = await node('127.0.0.1:1', changes).catch((refusal) => refusal);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(error.message).not.toContain('\n');
  });

  it('names the option where its port is in use', async () => {
    captureLog();
    const { address } = await coordinatorWithPlace();
    await expect(node(address, { listen: address })).rejects.toMatchObject({
      code: 'NO_RESOURCE',
      message: expect.stringContaining('--listen'),
    });
  });
});
