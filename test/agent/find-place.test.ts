import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findPlace, type Place, type PlaceOptions } from '../../src/agent/find-place.js';
import { formatAddress, parseAddress } from '../../src/rpc/address.js';
import { CoordinatorClient } from '../../src/rpc/coordinator-client.js';
import type { JoinReply } from '../../src/rpc/generated/messages.js';
import { loadProto } from '../../src/rpc/load-proto.js';
import { NO_SECURITY, randomToken, withOwnToken } from '../../src/rpc/security.js';
import { createRpcServer, listen } from '../../src/rpc/server.js';
import { foreignPort, IS_ROOT } from '../foreign-port.js';
import { ScriptedCoordinator, until } from './support.js';

const REPLY: JoinReply = {
  runId: 'run-a',
  generation: 1,
  node: 2,
  configJson: '{}',
  runDir: '/runs/run-a',
  datasetDir: '/data',
  resumeFrom: '',
  initFrom: '',
  inheritance: null,
  term: 1,
};
const BOUND = { host: '127.0.0.1', port: 4000 };

let waits: string[];
let places: Place[];

beforeEach(() => {
  [waits, places] = [[], []];
});

afterEach(() => {
  for (const { client } of places) client.close();
});

async function find(address: string, changes: Partial<PlaceOptions> = {}): Promise<Place> {
  const place = await findPlace({
    coordinator: parseAddress('--coordinator', address),
    bound: BOUND,
    advertise: undefined,
    security: NO_SECURITY,
    timeoutMs: 5_000,
    patient: false,
    onWait: (why) => waits.push(why),
    ...changes,
  });
  places.push(place);
  return place;
}

describe('a node that looks for its place', () => {
  it.each([
    ['--advertise', '10.1.2.3:99', BOUND, '10.1.2.3:99'],
    ['--advertise without a port', 'node-7', BOUND, 'node-7:4000'],
    [
      'the interface towards the coordinator, if it listens on all',
      undefined,
      { ...BOUND, host: '0.0.0.0' },
      '127.0.0.1:4000',
    ],
  ])('gives its peers %s', async (_what, advertise, bound, dataAddress) => {
    const { coordinator, address } = await ScriptedCoordinator.start();
    coordinator.answerJoins(REPLY);
    expect(await find(address, { advertise, bound })).toMatchObject({ dataAddress });
    expect(coordinator.joins).toMatchObject([{ dataAddress }]);
  });

  it('waits for a coordinator that has its port but no run yet', async () => {
    const rpc = createRpcServer();
    const address = formatAddress(await listen(rpc, { host: '127.0.0.1', port: 0 }, '--port'));
    try {
      const finding = find(address);
      await until(() => waits.length > 0);
      rpc.server.addService(loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator'), {
        Join: (_: unknown, answer: (error: null, reply: JoinReply) => void) => answer(null, REPLY),
      });
      expect((await finding).join).toEqual(REPLY);
      expect(waits).toEqual([
        expect.stringMatching(/^the coordinator at \S+ is still preparing the run, or/),
      ]);
    } finally {
      rpc.close();
    }
  });

  it('gives up after its time, naming the option', async () => {
    const { coordinator, address } = await ScriptedCoordinator.start();
    coordinator.vanish();
    await expect(find(address, { timeoutMs: 150 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/ Gave up after 0.15 s \(--join-timeout\)$/),
    });
  });

  it.each([
    ['refuses it', status.FAILED_PRECONDITION, 'BAD_INPUT'],
    ['does not know its token', status.UNAUTHENTICATED, 'UNAUTHENTICATED'],
  ])('does not ask a coordinator again that %s, however patient', async (_what, answer, code) => {
    const { coordinator, address } = await ScriptedCoordinator.start();
    coordinator.answerJoins(answer);
    await expect(find(address, { patient: true })).rejects.toMatchObject({ code });
    expect(coordinator.joins).toHaveLength(1);
  });

  it('says that nobody can connect to what it would advertise', async () => {
    const { address } = await ScriptedCoordinator.start();
    await expect(find(address, { advertise: '0.0.0.0:1' })).rejects.toMatchObject({
      code: 'BAD_INPUT',
      message: '--advertise 0.0.0.0:1: nobody can connect to that address',
    });
  });
});

describe.skipIf(!IS_ROOT)('a port that another user took', () => {
  it('gets no call of a node that was given no credentials', async () => {
    const { port, wasCalled } = await foreignPort();
    await expect(find(`127.0.0.1:${port}`, { security: null, timeoutMs: 300 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/^no coordinator of this user answers at 127\.0\.0\.1:\d+ yet/),
    });
    expect(wasCalled()).toBe(false);
  });

  it('gets no token of a run whose coordinator listened there before', async () => {
    const { port } = await foreignPort();
    const own = new CoordinatorClient(`127.0.0.1:${port}`, withOwnToken(randomToken()));
    const cluster = new CoordinatorClient(`127.0.0.1:${port}`, NO_SECURITY);
    expect(own.renewed()).toBeNull();
    expect(cluster.renewed()).not.toBeNull();
    for (const client of [own, cluster]) client.close();
  });
});
