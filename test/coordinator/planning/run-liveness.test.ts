import type * as grpc from '@grpc/grpc-js';
import type { RunRecord } from '@locmoe/run-format';
import { machineIdentity, processIdentity } from '@locmoe/run-format/process-identity';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isLive, reachableAddress } from '../../../src/coordinator/planning/run-liveness.js';
import { formatAddress } from '../../../src/rpc/address.js';
import { loadProto } from '../../../src/rpc/load-proto.js';
import { loadSecurity, NO_SECURITY } from '../../../src/rpc/security.js';
import { createRpcServer, listen } from '../../../src/rpc/server.js';
import { certificateFolder } from '../../rpc/certificate-folder.js';

const here: RunRecord = {
  runId: 'r',
  generation: 2,
  address: 'coordinator:50051',
  localAddress: '127.0.0.1:50051',
  isSecured: false,
  machine: machineIdentity(),
  pid: process.pid,
  process: processIdentity(process.pid),
  state: 'running',
  startedAt: '',
  datasetDir: '',
  forkedFrom: null,
  initFrom: null,
};
const elsewhere = { ...here, machine: 'other/pid:[1]' };

async function serveStatus(reply: object, security = NO_SECURITY): Promise<string> {
  const rpc = createRpcServer(security);
  rpc.server.addService(loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator'), {
    GetStatus: ((_, callback) => callback(null, reply)) as grpc.handleUnaryCall<object, object>,
  });
  onTestFinished(() => rpc.close());
  return formatAddress(await listen(rpc, { host: '127.0.0.1', port: 0 }, '--listen'));
}

describe('a run', () => {
  it('of this machine lives as long as its process', async () => {
    expect(await isLive(here, NO_SECURITY)).toBe(true);
    expect(await isLive({ ...here, process: 'an earlier one' }, NO_SECURITY)).toBe(false);
    expect(await isLive({ ...here, state: 'failed' }, NO_SECURITY)).toBe(false);
    expect(reachableAddress(here)).toBe('127.0.0.1:50051');
  });

  it('of another machine lives if its address answers for it, whatever process has its pid here', async () => {
    expect(await isLive({ ...elsewhere, address: '127.0.0.1:9' }, NO_SECURITY)).toBe(false);
    const address = await serveStatus({ runId: 'r', generation: 2 });
    expect(await isLive({ ...elsewhere, address }, NO_SECURITY)).toBe(true);
    expect(await isLive({ ...elsewhere, address, generation: 1 }, NO_SECURITY)).toBe(false);
    expect(await isLive({ ...elsewhere, address, runId: 'old' }, NO_SECURITY)).toBe(false);
    expect(reachableAddress(elsewhere)).toBe('coordinator:50051');
  });

  it('may live where this process is not trusted', async () => {
    const folder = await certificateFolder();
    const address = await serveStatus({ runId: 'r', generation: 2 }, loadSecurity({ tls: folder }));
    expect(await isLive({ ...elsewhere, address }, NO_SECURITY)).toBe(true);
  });
});
