import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as grpc from '@grpc/grpc-js';
import type { LogStore } from '@locmoe/logs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import type { Coordinator } from '../../src/coordinator/coordinator.js';
import { RunLeader } from '../../src/coordinator/run-leader.js';
import { addCoordinatorService } from '../../src/coordinator/service.js';
import { formatAddress } from '../../src/rpc/address.js';
import { CoordinatorClient } from '../../src/rpc/coordinator-client.js';
import type { LogsReply } from '../../src/rpc/generated/messages.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import { createRpcServer, listen, type RpcServer } from '../../src/rpc/server.js';
import { VERSION } from '../../src/rpc/version.js';
import { coordinatorOf } from './coordinator-of.js';

const NUM_PLACES = 8;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes in use by this process, which other test files share, without its garbage. */
function heldBytes(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

let logs: LogStore;
let rpc: RpcServer;
let coordinator: Coordinator;
let client: CoordinatorClient;
let address: string;

beforeEach(async () => {
  const config = loadConfig('tiny', { nodes: NUM_PLACES, workersPerNode: 1 });
  ({ coordinator, logs } = coordinatorOf(config, { level: 'error', nodesAreReplaceable: true }));
  rpc = createRpcServer();
  addCoordinatorService(rpc.server, new RunLeader(coordinator), logs);
  address = formatAddress(await listen(rpc, { host: '127.0.0.1', port: 0 }, '--port'));
  client = new CoordinatorClient(address, NO_SECURITY);
});

afterEach(() => {
  client.close();
  rpc.close();
});

const join = (host: string, pid: number) =>
  client.join({ host, pid, dataAddress: `127.0.0.1:${pid}`, version: VERSION });

it('of 20 nodes that join at once, each twice, 8 get a place each, and a second owner of an address none', async () => {
  const pids = Array.from({ length: 20 }, (_, i) => 1000 + i);
  const answers = await Promise.allSettled([...pids, ...pids].map((pid) => join('h', pid)));
  const places = pids.map((_, i) =>
    [answers[i], answers[i + pids.length]].map((answer) =>
      answer.status === 'fulfilled' ? answer.value.node : answer.reason.code,
    ),
  );
  for (const [first, second] of places) expect(second).toBe(first);
  const taken = places.map(([first]) => first).filter((place) => place !== 'RUN_FULL');
  expect(taken.sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  const holder = pids[places.findIndex(([place]) => place === 3)];
  await expect(join('other', holder)).rejects.toThrow(`node 3 on h (pid ${holder}) serves at`);
});

it('a message that is too large is refused with the limit, and the connection stays', async () => {
  const raw = new grpc.Client(address, grpc.credentials.createInsecure());
  const { Join, GetStatus } = loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator');
  const call = ({ path: method, requestSerialize }: grpc.MethodDefinition<object, object>, message: object) =>
    new Promise<grpc.ServiceError | null>((resolve) => {
      const deadline = Date.now() + 5_000;
      const serialize = (each: object) => requestSerialize(each);
      raw.makeUnaryRequest(method, serialize, (bytes) => bytes, message, { deadline }, resolve);
    });
  expect(await call(GetStatus, {})).toBeNull();
  const channel = raw.getChannel();
  const error = await call(Join, { host: 'h'.repeat(17 << 20) });
  expect(error).toMatchObject({
    code: grpc.status.RESOURCE_EXHAUSTED,
    details: /larger than max .*16777216/,
  });
  expect(channel.getConnectivityState(false)).toBe(grpc.connectivityState.READY);
  expect(await call(GetStatus, {})).toBeNull();
  raw.close();
});

it('a follower of the log that does not read keeps nobody waiting, and its lines not in memory', async () => {
  const LINES = 12_500;
  const stream = client.logs({
    level: '',
    ranks: [],
    sinceMs: 0,
    follow: true,
    query: '',
    before: 0,
    after: 0,
  });
  stream.on('error', () => undefined);
  const text = JSON.stringify({ level: 30, time: 1, rank: 0, msg: 'x'.repeat(8_000) });
  logs.append('node-0', text);
  await new Promise((resolve) => stream.once('data', resolve));
  stream.pause();
  const before = heldBytes();
  for (let line = 1; line < LINES; line++) {
    logs.append('node-0', text);
    // A call gives the service a chance to send.
    if (line % 100 === 0) await client.status();
  }
  for (let call = 0; call < 200; call++) await client.status();
  expect(heldBytes() - before).toBeLessThan((LINES * text.length) / 6);
  let received = 1;
  await new Promise<void>((resolve) => {
    stream.on('data', ({ lines }: LogsReply) => {
      received += lines.length;
      if (received === LINES) resolve();
    });
    stream.resume();
  });
  stream.cancel();
});
