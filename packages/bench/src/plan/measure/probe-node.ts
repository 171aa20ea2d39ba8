// A node agent reduced to what a probe needs: a data plane and its workers. Started by probe.ts.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { DataPlane } from 'locmoe/agent/data-plane';
import { topologyOf } from 'locmoe/collectives/topology';
import { asTrainerError } from 'locmoe/errors';
import type { FromNode, FromRank, NodeTask, RankTask, ToNode } from './probe-messages.js';

const RANK = fileURLToPath(new URL('./probe-rank.js', import.meta.url));
const CONNECT_MS = 10_000;

const server = new Server();
const workers: ChildProcess[] = [];
let plane: DataPlane | undefined;

process.on('disconnect', () => end(1));
process.on('message', (message: ToNode) => {
  const work = message.type === 'task' ? listen(message.task) : connect(message.addresses);
  work.catch((error) => fail(asTrainerError(error).line));
});
let task: NodeTask;

function tell(message: FromNode): void {
  process.send?.(message);
}

function end(code: number): void {
  for (const worker of workers) worker.kill('SIGKILL');
  process.exit(code);
}

function fail(message: string): void {
  process.send?.({ type: 'failed', message } satisfies FromNode, () => end(1));
}

async function listen(given: NodeTask): Promise<void> {
  task = given;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  plane = DataPlane.create({
    ...task,
    generation: 1,
    interNodeLink: null,
    server,
    onError: (error) => fail(error.line),
  });
  tell({ type: 'listening', address: `127.0.0.1:${port}` });
}

async function connect(addresses: readonly string[]): Promise<void> {
  const peers = addresses
    .map((address, node) => ({ node, address }))
    .filter(({ node }) => node !== task.node);
  await plane!.connect(peers, CONNECT_MS);
  await Promise.all(Array.from({ length: task.workersPerNode }, (_, local) => runWorker(local)));
  await plane!.close();
  server.forceShutdown();
  process.send?.({ type: 'done' } satisfies FromNode, () => process.exit(0));
}

async function runWorker(localRank: number): Promise<void> {
  const { node, numNodes, workersPerNode, cases } = task;
  const worker = fork(RANK, { serialization: 'advanced' });
  workers.push(worker);
  const topology = topologyOf(node * workersPerNode + localRank, numNodes, workersPerNode);
  worker.on('message', (message: FromRank) => {
    if (message.type === 'failed') fail(message.message);
    else if (topology.rank === 0) tell({ type: 'result', outcome: message.outcome });
  });
  worker.send({ topology, segmentPath: plane!.segmentPath, cases } satisfies RankTask);
  const [code, signal] = await once(worker, 'exit');
  if (code !== 0) fail(`rank ${topology.rank} of the probe ended with ${signal ?? `code ${code}`}`);
}
