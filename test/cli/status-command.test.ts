import { expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/resolve.js';
import { RunLeader } from '../../src/coordinator/run-leader.js';
import { addCoordinatorService } from '../../src/coordinator/service.js';
import { SnapshotTable } from '../../src/coordinator/snapshot-table.js';
import { formatAddress } from '../../src/rpc/address.js';
import { createRpcServer, listen } from '../../src/rpc/server.js';
import { DiskTolerance } from '../../src/run/disk-tolerance.js';
import { RestartBudget } from '../../src/run/restart-budget.js';
import { RunTotals } from '../../src/run/run-totals.js';
import { coordinatorOf } from '../coordinator/coordinator-of.js';
import { runCommand } from '../run-command.js';

/** What `locmoe status` says of a run. */
async function served() {
  const config = loadConfig('tiny', { nodes: 1, workersPerNode: 1 });
  const disk = new DiskTolerance(() => undefined);
  const totals = new RunTotals(1, new RestartBudget(config.cluster));
  const snapshots = new SnapshotTable();
  const { coordinator, logs } = coordinatorOf(config, { run: { disk, totals }, snapshots });
  const rpc = createRpcServer();
  onTestFinished(() => rpc.close());
  addCoordinatorService(rpc.server, new RunLeader(coordinator), logs);
  const address = formatAddress(await listen(rpc, { host: '127.0.0.1', port: 0 }, '--port'));
  const status = async () => (await runCommand('status', '--coordinator', address)).stdout;
  return { disk, totals, snapshots, status };
}

it('status says that a full disk costs records and checkpoints, as long as it does', async () => {
  const { disk, totals, status } = await served();
  expect(await status()).not.toMatch(/disk/);
  const noRoom = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
  disk.forgives(noRoom, 'metrics.ndjson');
  disk.forgives(noRoom, 'metrics.ndjson');
  totals.checkpointFailed();
  expect(await status()).toMatch(
    /^ {2}not recording since 20\S+Z: the disk is full, 2 records lost; free some space\n {2}the disk had no room for the last checkpoint$/m,
  );
  totals.checkpointFailed();
  expect(await status()).toMatch(/the disk had no room for the last 2 checkpoints$/m);
  totals.checkpoint({ step: 9, directory: '/x' });
  expect(await status()).not.toMatch(/no room/);
});

it('status says where a restart would go on from', async () => {
  const { totals, snapshots, status } = await served();
  expect(await status()).toMatch(/^ {2}a restart would begin anew: nothing is saved yet$/m);
  totals.checkpoint({ step: 40, directory: '/x' });
  snapshots.add(0, { generation: 1, step: 30 }, 1);
  expect(await status()).toMatch(/^ {2}a restart would go on from step 40 \(checkpoint\)$/m);
  snapshots.add(0, { generation: 1, step: 45 }, 1);
  expect(await status()).toMatch(/^ {2}a restart would go on from step 45 \(snapshot in memory\)$/m);
});
