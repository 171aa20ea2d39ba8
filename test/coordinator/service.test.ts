import { once } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import type { LogStore } from '@locmoe/logs';
import { service as healthService } from 'grpc-health-check';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import type { Coordinator } from '../../src/coordinator/coordinator.js';
import { RunLeader } from '../../src/coordinator/run-leader.js';
import { addCoordinatorService, type CoordinatorService } from '../../src/coordinator/service.js';
import { formatAddress } from '../../src/rpc/address.js';
import { CoordinatorClient } from '../../src/rpc/coordinator-client.js';
import type {
  AgentEvent,
  CoordinatorCommand,
  LogsReply,
  LogsRequest,
} from '../../src/rpc/generated/messages.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { createRpcServer, listen, type RpcServer } from '../../src/rpc/server.js';
import { VERSION } from '../../src/rpc/version.js';
import { FaultProxy } from '../fault-proxy.js';
import { coordinatorOf, stepReport } from './coordinator-of.js';

const insecure = grpc.credentials.createInsecure();
const config = loadConfig('tiny', { nodes: 2, workersPerNode: 1 });

let logs: LogStore;
let rpc: RpcServer;
let coordinator: Coordinator;
let service: CoordinatorService;
let client: CoordinatorClient;
let address: string;

beforeEach(async () => {
  ({ coordinator, logs } = coordinatorOf(config, {
    generation: 3,
    level: 'info',
    onLine: (line, logs) => logs.append('coordinator', line.trimEnd()),
    evidenceWindowMs: 100,
  }));
  rpc = createRpcServer();
  service = addCoordinatorService(rpc.server, new RunLeader(coordinator), logs);
  address = formatAddress(await listen(rpc, { host: '127.0.0.1', port: 0 }, '--port'));
  client = new CoordinatorClient(address, NO_SECURITY);
});

afterEach(() => {
  client.close();
  rpc.close();
});

const join = (pid: number, version = VERSION) =>
  client.join({ host: 'h', pid, dataAddress: `127.0.0.1:${pid}`, version });

/** Opens a session that collects the commands sent to it. */
function open(node: number, generation = 3, runId = 'r1', dataAddress = `127.0.0.1:${11 + node}`) {
  const commands: CoordinatorCommand[] = [];
  const stream = client.session({ runId, generation, node, dataAddress });
  const failed = new Promise<string>((resolve) => {
    stream.on('error', ({ message }) => resolve(message));
  });
  stream.on('data', (command: CoordinatorCommand) => commands.push(command));
  const has = (name: string) => commands.some(({ command }) => command === name);
  return {
    failed,
    stream,
    has,
    send: (event: AgentEvent) => stream.write(event),
    until: (name: string) => expect.poll(() => has(name)).toBe(true),
  };
}

const report = (rank: number) => stepReport({ rank, loss: 1 + rank });

describe('the coordinator over gRPC', () => {
  it('answers grpc.health.v1', async () => {
    const Health = grpc.makeGenericClientConstructor(healthService, 'Health');
    const health = new Health(address, insecure);
    const check = (service: string) =>
      new Promise((resolve) => {
        health.Check(
          { service },
          { deadline: Date.now() + 2_000 },
          (error: grpc.ServiceError, reply: object) => resolve(error ? error.code : reply),
        );
      });
    expect(await check('')).toEqual({ status: 'SERVING' });
    expect(await check('nonsense')).toBe(grpc.status.NOT_FOUND);
    health.close();
  });

  it('refuses a node of another version, naming both, and one with the address of another', async () => {
    await expect(join(11, '9.9.9')).rejects.toThrow(
      new RegExp(
        `on h \\(pid 11\\) runs locmoe 9\\.9\\.9, this coordinator ${VERSION}: both must be the same`,
      ),
    );
    await join(11);
    const twin = { host: 'other', pid: 11, dataAddress: '127.0.0.1:11', version: VERSION };
    await expect(client.join(twin)).rejects.toThrow(
      /node 0 on h \(pid 11\) serves at 127\.0\.0\.1:11 already; the node agent on other .*--advertise/,
    );
  });

  it('refuses members of another run, an older generation, or a second session', async () => {
    await join(11);
    expect(await open(0, 2).failed).toMatch(/generation 2 is over; the run is at 3/);
    expect(await open(0, 3, 'other').failed).toMatch(/this is run r1, not other/);
    expect(await open(7).failed).toMatch(/node 7 has not joined/);
    expect(await open(0, 3, 'r1', '127.0.0.1:99').failed).toMatch(
      /node 0 was replaced by another node agent/,
    );
    open(0);
    await expect.poll(() => open(0).failed).toMatch(/already has a session/);
  });

  it.each([
    ['without a name', { host: '' }, /host: is no name of a machine/],
    ['with control characters', { host: 'a\u0000b' }, /host: is no name/],
    ['without a process', { pid: 0 }, /pid: /],
    ['at no address', { dataAddress: 'not an address\0\n' }, /dataAddress: is no address HOST:PORT/],
    ['at no port', { dataAddress: '127.0.0.1:0' }, /dataAddress: is no address/],
  ])('refuses a node %s', async (_what, changes, message) => {
    const request = { host: 'h', pid: 11, dataAddress: '127.0.0.1:11', version: VERSION };
    await expect(client.join({ ...request, ...changes })).rejects.toThrow(message);
    expect((await join(11)).node).toBe(0);
  });

  it('ends the session of a node that sends what it must not, and names it', async () => {
    await join(11);
    await join(12);
    const sessions = [open(0), open(1)];
    for (const session of sessions) await session.until('start');
    for (const session of sessions) session.send({ event: 'ready', ready: {} });
    for (const session of sessions) await session.until('begin');
    sessions[0].send({ event: 'step', step: report(0) });
    sessions[0].send({ event: 'step', step: report(1) });
    expect(await sessions[0].failed).toMatch(/^3 INVALID_ARGUMENT: /);
    const state = await coordinator.lifecycle.settled;
    expect(state.kind === 'failed' && state.error.line).toMatch(
      /^node 0: node agent on h \(pid 11\) was lost: it sent `step` that is invalid: rank: /,
    );
  });

  it('ends the session of a node that sends what cannot be decoded, and says so', async () => {
    await join(11);
    await join(12);
    const { Session } = loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator');
    const bytes = { Session: { ...Session, requestSerialize: (message: Buffer) => message } };
    const raw = new (grpc.makeGenericClientConstructor(bytes, 'Raw'))(address, insecure);
    onTestFinished(() => raw.close());
    const metadata = new grpc.Metadata();
    const member = { 'run-id': 'r1', generation: '3', node: '0', 'data-address': '127.0.0.1:11' };
    for (const [field, value] of Object.entries(member)) metadata.set(field, value);
    const stream = raw.Session(metadata);
    const failed = once(stream, 'error');
    stream.resume();
    // The field is longer than its message.
    stream.write(Buffer.from('1a7f', 'hex'));
    const [error] = await failed;
    expect(error.message).toMatch(
      /^3 INVALID_ARGUMENT: .*Session: a message cannot be decoded: index out of range/,
    );
    const state = await coordinator.lifecycle.settled;
    expect(state.kind === 'failed' && state.error.line).toMatch(
      /^node 0: node agent on h \(pid 11\) was lost: .*a message cannot be decoded/,
    );
  });

  it('loses a node that leaves in the middle', async () => {
    await join(11);
    await join(12);
    const sessions = [open(0), open(1)];
    for (const session of sessions) await session.until('start');
    sessions[0].send({ event: 'leaving', leaving: { snapshots: [] } });
    sessions[0].stream.end();
    const state = await coordinator.lifecycle.settled;
    expect(state.kind === 'failed' && state.error.line).toMatch(/^node 0: .*was lost: it ended its session/);
  });

  it('keeps log lines by node and streams those that match', async () => {
    await join(11);
    const session = open(0);
    const line = (level: string, rank: number) =>
      JSON.stringify({ time: 5, level, rank, msg: `${level} of ${rank}` });
    session.send({ event: 'logs', logs: { lines: [line('info', 0), line('error', 1)], dropped: 0 } });
    await expect.poll(() => heardLogs({ level: 'error' })).toEqual(['error of 1']);
    expect(await heardLogs({ ranks: [0] })).toEqual(['info of 0']);
    expect(await heardLogs({ query: '{source="worker"} |= "of 1"' })).toEqual(['error of 1']);
    await expect(heardLogs({ query: '{source="worker"} | distinct msg' })).rejects.toThrow(
      '`distinct` is not supported',
    );
    await expect(heardLogs({ level: 'loud' })).rejects.toThrow('level: loud is none of trace');
  });

  it('gives followers the rest of a complete log, and ends their calls in order', async () => {
    const line = (msg: string) => JSON.stringify({ time: 5, level: 'info', msg });
    logs.append('node-0', line('first'));
    const messages: string[] = [];
    const stream = client.logs({ ...EVERYTHING, query: '{node="0"}', follow: true });
    stream.on('data', ({ lines }: LogsReply) => {
      for (const { json } of lines) messages.push(JSON.parse(json).msg);
    });
    const ended = new Promise<string>((resolve) => {
      stream.on('end', () => resolve('in order'));
      stream.on('error', ({ message }) => resolve(message));
    });
    await expect.poll(() => messages).toEqual(['first']);
    logs.append('node-0', line('last'));
    await service.endLogs(2_000);
    rpc.close();
    expect(await ended).toBe('in order');
    expect(messages).toEqual(['first', 'last']);
  });

  it('waits for a follower that cannot be reached, and not for ever', async () => {
    const proxy = await FaultProxy.to(Number(address.split(':')[1]));
    onTestFinished(() => proxy.close());
    const far = new CoordinatorClient(`127.0.0.1:${proxy.port}`, NO_SECURITY);
    const line = (msg: string) => JSON.stringify({ time: 1, level: 'info', msg });
    logs.append('node-0', line('first'));
    const stream = far.logs({ ...EVERYTHING, follow: true });
    stream.on('error', () => undefined);
    await once(stream, 'data');
    proxy.drop();
    for (let i = 0; i < 2_000; i++) logs.append('node-0', line('x'.repeat(4_000)));
    const started = performance.now();
    await service.endLogs(300);
    expect(performance.now() - started).toBeGreaterThan(299 - 5);
    stream.cancel();
    far.close();
  });
});

const EVERYTHING = { level: '', ranks: [], sinceMs: 0, follow: false, query: '', before: 0, after: 0 };

async function heardLogs(filter: Partial<LogsRequest>): Promise<string[]> {
  const stream = client.logs({ ...EVERYTHING, ...filter });
  const messages: string[] = [];
  for await (const { lines } of stream as AsyncIterable<LogsReply>)
    messages.push(...lines.map(({ json }) => JSON.parse(json).msg));
  return messages;
}
