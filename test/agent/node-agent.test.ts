import { readdirSync } from 'node:fs';
import { Server } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { NodeAgent } from '../../src/agent/node-agent.js';
import { PeerStreams } from '../../src/agent/peer-streams.js';
import { grpcTransport } from '../../src/agent/transport/grpc-transport.js';
import { WorkerPool } from '../../src/agent/worker-pool.js';
import { SHM_DIR } from '../../src/collectives/segment-files.js';
import { formatAddress } from '../../src/rpc/address.js';
import { CoordinatorClient } from '../../src/rpc/coordinator-client.js';
import type { JoinReply, Peer } from '../../src/rpc/generated/messages.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { createRpcServer, listen, type RpcServer } from '../../src/rpc/server.js';
import { frameReader } from '../rpc/whole-frame.js';
import {
  listenOnLoopback,
  ScriptedCoordinator,
  scriptWorkers,
  temporaryFolder,
  until,
  WORKER_PROGRAM,
} from './support.js';

const RING_BYTES = 1 << 14;
const GRACE_MS = 200;
const READY = { emit: { type: 'ready' } };

let numRuns = 0;
let runId: string;
let coordinator: ScriptedCoordinator;
let client: CoordinatorClient;
let rpc: RpcServer;
let agent: NodeAgent;
let runDir: string;
let stderr: MockInstance<typeof process.stderr.write>;

beforeEach(() => {
  stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  runId = `agent-test-${process.pid}-${numRuns++}`;
  runDir = temporaryFolder();
});

afterEach(async () => {
  coordinator.vanish();
  await agent.ended;
  client.close();
  stderr.mockRestore();
  rpc.close();
  expect(readdirSync(SHM_DIR).filter((name) => name.includes(runId))).toEqual([]);
});

/** Joins a run as node 0 and opens a session; returns where its peers find it. */
async function joinRun(numNodes = 1, workersPerNode = 2, reply: Partial<JoinReply> = {}): Promise<string> {
  const started = await ScriptedCoordinator.start();
  coordinator = started.coordinator;
  client = new CoordinatorClient(started.address, NO_SECURITY);
  rpc = createRpcServer();
  const dataAddress = formatAddress(await listen(rpc, { host: '127.0.0.1', port: 0 }, '--listen'));
  const cluster = {
    nodes: numNodes,
    workersPerNode,
    ringBytes: RING_BYTES,
    interNodeLink: null,
    collectiveTimeoutS: 10,
  };
  agent = new NodeAgent({
    join: {
      runId,
      generation: 2,
      node: 0,
      runDir,
      datasetDir: runDir,
      resumeFrom: '',
      initFrom: '',
      term: 1,
      inheritance: null,
      configJson: JSON.stringify({
        logLevel: 'info',
        moe: { router: 'hash' },
        train: { routes: 'router' },
        cluster,
      }),
      ...reply,
    },
    dataAddress,
    rpc,
    client,
    output: null,
    pool: new WorkerPool(WORKER_PROGRAM),
    abortGraceMs: GRACE_MS,
  });
  await coordinator.first('heartbeat');
  return dataAddress;
}

async function startRun(peers: Peer[] = []): Promise<void> {
  coordinator.command({ command: 'start', start: { peers, snapshot: null, snapshotHolders: [] } });
  await coordinator.first('ready');
}

describe('a good run', () => {
  it('carries log lines: those of workers as they are, what else they print as a warning', async () => {
    scriptWorkers([
      { print: '{"level":30,"msg":"mine"}' },
      { print: '{"cut' },
      { print: 'a native library speaks', to: 'stderr' },
      { print: '', to: 'stderr' },
      READY,
      'hang',
    ]);
    await joinRun(1, 1);
    await startRun();
    await until(() => coordinator.logged.length >= 3);
    const warning = { level: 'warn', run: runId, generation: 2, node: 0, rank: 0 };
    expect(coordinator.logged).toHaveLength(3);
    expect(coordinator.logged).toContainEqual({ level: 30, msg: 'mine' });
    expect(coordinator.logged).toContainEqual(
      expect.objectContaining({ ...warning, stream: 'stdout', msg: '{"cut' }),
    );
    expect(coordinator.logged).toContainEqual(
      expect.objectContaining({ ...warning, stream: 'stderr', msg: 'a native library speaks' }),
    );
  });
});

describe('commands', () => {
  it('that come twice, too early or that say nothing change nothing', async () => {
    scriptWorkers([READY, 'await begin', { print: '{"msg":"begun"}' }, 'hang']);
    await joinRun(1, 1);
    coordinator.command({ command: 'begin', begin: {} });
    coordinator.command({ command: 'stop', stop: { reason: 'too early' } });
    coordinator.command({} as never);
    coordinator.command({ command: 'start', start: { peers: [], snapshot: null, snapshotHolders: [] } });
    await startRun();
    coordinator.command({ command: 'begin', begin: {} });
    coordinator.command({ command: 'begin', begin: {} });
    await until(() => coordinator.logged.some(({ msg }) => msg === 'begun'));
    expect(coordinator.all('ready')).toHaveLength(1);
    expect(coordinator.all('failure')).toEqual([]);
  });

  it('that come after an abort start nothing, and it stays an abort', async () => {
    await joinRun(1, 1);
    coordinator.command({ command: 'abort', abort: { reason: 'another node failed' } });
    coordinator.command({ command: 'farewell', farewell: {} });
    coordinator.command({ command: 'start', start: { peers: [], snapshot: null, snapshotHolders: [] } });
    coordinator.command({ command: 'farewell', farewell: {} });
    expect(await agent.ended).toBe(3);
    expect(agent.hasStarted).toBe(false);
    expect(coordinator.all('leaving')).toHaveLength(1);
  });
});

describe('a failure', () => {
  it('is told once for each rank, with what all ranks are doing in front of it', async () => {
    const fail = { emit: { type: 'failed', code: 'NOT_FINITE', message: 'NaN', context: { step: 4 } } };
    scriptWorkers([READY, 'await begin', fail, fail, { exit: 3 }]);
    await joinRun(1, 1);
    await startRun();
    const numBeats = coordinator.all('heartbeat').length;
    coordinator.command({ command: 'begin', begin: {} });
    await until(() => coordinator.all('failure').length > 0);
    coordinator.command({ command: 'abort', abort: { reason: 'rank 0 failed' } });
    coordinator.command({ command: 'farewell', farewell: {} });
    await agent.ended;
    expect(coordinator.all('failure')).toMatchObject([{ rank: 0, code: 'NOT_FINITE', step: 4 }]);
    const kinds = coordinator.events.map(({ event }) => event);
    expect(kinds[kinds.indexOf('failure') - 1]).toMatch(/heartbeat|logs/);
    expect(coordinator.all('heartbeat').length).toBeGreaterThan(numBeats);
  });

  it('of the agent itself is told in the name of its first rank', async () => {
    await joinRun(1, 1, { datasetDir: '/nowhere/data' });
    coordinator.command({ command: 'start', start: { peers: [], snapshot: null, snapshotHolders: [] } });
    const failure = await coordinator.first('failure');
    expect(failure).toMatchObject({
      rank: 0,
      pid: process.pid,
      code: 'NO_RESOURCE',
      step: -1,
      operation: '',
    });
    expect(failure.message).toMatch(/^\/nowhere\/data does not exist on /);
  });

  it('of a peer that dies is a lost node', async () => {
    scriptWorkers([READY, 'hang']);
    const dataAddress = await joinRun(2, 1);
    const server = new Server();
    const address = await listenOnLoopback(server);
    const peer = new PeerStreams({
      runId,
      generation: 2,
      node: 1,
      numNodes: 2,
      ringBytes: RING_BYTES,
      keepaliveMs: 5_000,
      server,
      security: NO_SECURITY,
      onPull: () => undefined,
      transport: grpcTransport,
      receiver: () => frameReader(),
      onCredit: () => undefined,
      onError: () => undefined,
    });
    coordinator.command({
      command: 'start',
      start: { peers: [{ node: 1, address, host: 'there' }], snapshot: null, snapshotHolders: [] },
    });
    await until(() => agent.hasStarted);
    await peer.connect([{ node: 0, address: dataAddress }], 5_000);
    await coordinator.first('ready');
    server.forceShutdown();
    const failure = await coordinator.first('failure');
    expect(failure).toMatchObject({ rank: 0, code: 'NODE_LOST' });
    expect(failure.message).toContain('between node 0 and node 1');
    await peer.close();
  });
});

it('a call with a wrong token is logged', async () => {
  await joinRun(1, 1);
  rpc.onRefused('refused Pull of 10.0.0.9');
  await until(() => coordinator.logged.some(({ msg }) => msg === 'refused Pull of 10.0.0.9'));
});
