import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { Server } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { filesOfNode } from '../../src/agent/node-snapshot.js';
import { NodeSnapshots } from '../../src/agent/node-snapshots.js';
import { fetchSnapshot } from '../../src/agent/snapshot-fetch.js';
import { MappedShards } from '../../src/checkpoint/mapped-shards.js';
import { openStored } from '../../src/checkpoint/open-stored.js';
import type { RankTensors } from '../../src/checkpoint/rank-tensors.js';
import { shardFiles, writeShards } from '../../src/checkpoint/shards.js';
import { localSnapshotFolders, snapshotFolder } from '../../src/collectives/segment-files.js';
import type { RunConfig } from '../../src/config/schema.js';
import type { Peer, SnapshotRef } from '../../src/rpc/generated/messages.js';
import { NO_SECURITY } from '../../src/rpc/security.js';
import type { RpcServer } from '../../src/rpc/server.js';
import { config as base, expectedValue, expertNames, sharedNames, tensorsOf } from '../checkpoint/fixture.js';
import { listenOnLoopback, temporaryFolder, until } from './support.js';

const config: RunConfig = { ...base, cluster: { ...base.cluster, nodes: 2, workersPerNode: 2 } };

let numRuns = 0;
let runId: string;
let datasetDir: string;
let nodes: Node[];
let peers: Peer[];

interface Node {
  readonly snapshots: NodeSnapshots;
  readonly server: Server;
  readonly kept: number[];
  readonly warned: string[];
  directory: string;
}

beforeEach(async () => {
  runId = `snapshot-test-${process.pid}-${numRuns++}`;
  datasetDir = temporaryFolder();
  writeFileSync(path.join(datasetDir, 'tokenizer.json'), '{}');
  nodes = [];
  peers = [];
  for (const node of [0, 1]) {
    const started = newNode();
    nodes.push(started);
    peers.push({ node, address: await listenOnLoopback(started.server), host: 'here' });
    begin(node, 1);
  }
  for (const { snapshots } of nodes) snapshots.peers = peers;
});

afterEach(() => {
  for (const { snapshots, server, directory } of nodes) {
    snapshots.clear();
    server.forceShutdown();
    expect(existsSync(directory)).toBe(false);
  }
});

function newNode(heir: number | null = null): Node {
  const server = new Server();
  const snapshots = new NodeSnapshots({ server, security: NO_SECURITY } as RpcServer, heir);
  return { server, snapshots, kept: [], warned: [], directory: '' };
}

function begin(node: number, generation: number, runConfig = config): void {
  const { snapshots, kept, warned } = nodes[node];
  nodes[node].directory = snapshots.begin(
    { runId, generation, node, config: runConfig, datasetDir },
    { kept: ({ step }) => kept.push(step), warn: (line) => warned.push(line) },
  );
}

/** Writes the state of both ranks of a node at a step, as workers do. */
function write(node: number, step: number): void {
  const folder = path.join(nodes[node].directory, `generation-1-step-${step}`);
  for (const rank of [2 * node, 2 * node + 1]) {
    // In a real run the ranks' writer threads create the folder.
    mkdirSync(folder, { recursive: true });
    const files = writeShards(folder, { rank, worldSize: 4 }, partOf(rank, step));
    nodes[node].snapshots.add({ rank, step, files, metrics: { loss: step } });
  }
}

/** Returns a rank's part of its node's snapshot. */
function partOf(rank: number, step: number): RankTensors {
  const { experts, optimizerExperts } = tensorsOf(rank, 4, step);
  const { shared, optimizerShared, state } = tensorsOf(0, 4, step);
  const none = { shared: [], optimizerShared: [], state: [] };
  return { ...(rank % 2 === 0 ? { shared, optimizerShared, state } : none), experts, optimizerExperts };
}

/** Writes a local snapshot of these ranks, as workers do. */
function writeLocal(step: number, ...ranks: number[]): void {
  for (const rank of ranks) {
    const folder = localSnapshotFolders(nodes[Math.floor(rank / 2)].directory)[step % 2];
    const shards = new MappedShards(folder, { rank, worldSize: 4 }, partOf(rank, step));
    shards.fill(partOf(rank, step), { generation: 1, step, metrics: { loss: step } });
    shards.close();
  }
}

async function writeAll(step: number): Promise<void> {
  for (const node of [0, 1]) write(node, step);
  await until(() => nodes.every(({ kept }) => kept.at(-1) === step), `step ${step} kept`);
}

/** Checks that a node's ranks can start from a folder. */
function expectState(folder: string | null, node: number, { step, generation }: SnapshotRef): void {
  const checkpoint = openStored(folder!);
  checkpoint.verify();
  expect(checkpoint.manifest).toMatchObject({ runId, step, generation, metrics: { loss: step } });
  for (const name of [...sharedNames, expertNames[2 * node], expertNames[2 * node + 1]])
    expect(checkpoint.read(name)).toEqual(new Float32Array(128).fill(expectedValue(name, step)));
}

function restartAll(): void {
  for (const node of [0, 1]) {
    nodes[node].snapshots.end();
    begin(node, 2);
  }
}

it('a node starts from what its ranks wrote; what is later than that goes', async () => {
  await writeAll(4);
  await writeAll(8);
  write(0, 12);
  restartAll();
  const chosen = { generation: 1, step: 8 };
  for (const node of [0, 1]) expectState(await nodes[node].snapshots.restore(chosen), node, chosen);
  expect(existsSync(path.join(nodes[0].directory, 'generation-1-step-12'))).toBe(false);
  expect(existsSync(path.join(nodes[0].directory, 'generation-1-step-4'))).toBe(false);
});

it('files that are gone from memory come from the neighbour, or are lost with those of the neighbour', async () => {
  await writeAll(4);
  restartAll();
  const chosen = { generation: 1, step: 4 };
  const folderOf = (node: number) => path.join(nodes[node].directory, 'generation-1-step-4');
  rmSync(path.join(folderOf(0), shardFiles(0, 4).experts));
  rmSync(folderOf(1), { recursive: true });
  // Node 1 keeps a copy of node 0's state, which node 0 lost; node 0 still has the copy of node 1's.
  expectState(await nodes[1].snapshots.restore(chosen), 1, chosen);
  await expect(nodes[0].snapshots.restore(chosen)).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: expect.stringMatching(/^the state of node 0 in memory is lost: /),
  });
});

it.each([
  ['truncated', (folder: string) => truncateSync(path.join(folder, 'shared.safetensors'), 9)],
  [
    'garbage of the same size',
    (folder: string) => {
      const file = path.join(folder, 'shared.safetensors');
      writeFileSync(file, Buffer.alloc(statSync(file).size, 0x5a));
    },
  ],
  [
    'those of another step',
    (folder: string) => {
      rmSync(folder, { recursive: true });
      cpSync(path.join(folder, '../generation-1-step-4'), folder, { recursive: true });
    },
  ],
])('a node whose files are %s takes the copy and says so once', async (_, damage) => {
  await writeAll(4);
  await writeAll(8);
  restartAll();
  const chosen = { generation: 1, step: 8 };
  damage(path.join(nodes[1].directory, 'generation-1-step-8'));
  for (const node of [0, 1]) expectState(await nodes[node].snapshots.restore(chosen), node, chosen);
  expect(nodes.map(({ warned }) => warned)).toEqual([
    [],
    [
      expect.stringMatching(
        /step-8\/\S+ is damaged: .*: the copy of this snapshot of step 8 on node 0 is taken$/,
      ),
    ],
  ]);
});

it('a node starts from a local snapshot, and keeps an earlier one with a copy', async () => {
  await writeAll(4);
  writeLocal(7, 0, 1, 2, 3);
  // Rank 1 has not written the last one.
  writeLocal(8, 0, 2, 3);
  const refs = (...steps: number[]) => steps.map((step) => ({ generation: 1, step }));
  expect(nodes.map(({ snapshots }) => snapshots.end())).toEqual([refs(7), refs(8, 7)]);
  for (const node of [0, 1]) begin(node, 2);
  const [chosen] = refs(7);
  for (const node of [0, 1]) expectState(await nodes[node].snapshots.restore(chosen), node, chosen);
  for (const { directory } of nodes) {
    const [even, odd] = localSnapshotFolders(directory);
    expect([existsSync(even), existsSync(odd)]).toEqual([false, true]);
  }
  for (const { snapshots } of nodes) snapshots.end();
  for (const node of [0, 1]) begin(node, 3);
  const [copied] = refs(4);
  for (const node of [0, 1]) expectState(await nodes[node].snapshots.restore(copied), node, copied);
  expect(nodes.map(({ snapshots }) => snapshots.end())).toEqual([[], []]);
});

it('a local snapshot whose files are damaged is lost', async () => {
  writeLocal(7, 0, 1, 2, 3);
  restartAll();
  const [, folder] = localSnapshotFolders(nodes[0].directory);
  const file = path.join(folder, shardFiles(0, 4).experts);
  writeFileSync(file, Buffer.alloc(readFileSync(file).length));
  await expect(nodes[0].snapshots.restore({ generation: 1, step: 7 })).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: expect.stringMatching(/^the state of node 0 in memory is lost: .*is damaged/),
  });
});

it('ranks that have written different steps have no local snapshot in common', () => {
  writeLocal(7, 0, 1, 2, 3);
  writeLocal(9, 0);
  expect(nodes.map(({ snapshots }) => snapshots.end())).toEqual([[], [{ generation: 1, step: 7 }]]);
});

it('a local snapshot of which a file is gone, or shorter, is none', () => {
  writeLocal(7, 0, 1, 2, 3);
  const [ofZero, ofOne] = nodes.map(({ directory }) => localSnapshotFolders(directory)[1]);
  rmSync(path.join(ofZero!, shardFiles(1, 4).experts));
  truncateSync(path.join(ofOne!, shardFiles(2, 4).experts), 64);
  expect(nodes.map(({ snapshots }) => snapshots.end())).toEqual([[], []]);
});

it('an agent goes on from the local snapshots that the last one of its node has left to its parent, and frees the rest', async () => {
  await writeAll(4);
  writeLocal(5, 0, 1);
  const { ppid } = process;
  renameSync(nodes[0].directory, snapshotFolder(runId, 0, ppid));
  nodes[0].server.forceShutdown();
  nodes[0] = newNode(ppid);
  begin(0, 2);
  expect(readdirSync(nodes[0].directory)).toEqual([path.basename(localSnapshotFolders('')[1])]);
  const chosen = { generation: 1, step: 5 };
  expectState(await nodes[0].snapshots.restore(chosen), 0, chosen);
  expect(existsSync(snapshotFolder(runId, 0, ppid))).toBe(false);
});

it('local files that a worker writes while they are read are lost, not taken half', async () => {
  writeLocal(5, 0, 1);
  restartAll();
  const restoring = nodes[0].snapshots.restore({ generation: 1, step: 5 });
  // A worker takes the mark away before it writes.
  writeFileSync(path.join(localSnapshotFolders(nodes[0].directory)[1], 'rank-1.json'), '');
  await expect(restoring).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: 'the state of node 0 in memory is lost: its files have changed',
  });
});

it('a node that is left alone gathers the state of both, and frees it once it is loaded', async () => {
  await writeAll(4);
  for (const { snapshots } of nodes) snapshots.end();
  begin(0, 2, { ...config, cluster: { ...config.cluster, nodes: 1 } });
  const [{ snapshots, directory }] = nodes;
  const chosen = { generation: 1, step: 4 };
  const { address } = peers[0];
  const folder = await snapshots.gather(chosen, [address, address]);
  for (const node of [0, 1]) expectState(folder, node, chosen);
  snapshots.dropGathered();
  expect(existsSync(folder)).toBe(false);
  rmSync(path.join(directory, 'generation-1-step-4/of-node-1'), { recursive: true });
  await expect(snapshots.gather(chosen, [address, address])).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: expect.stringMatching(
      /^the state in the memory of 2 nodes is lost: the snapshot of step 4 cannot be fetched/,
    ),
  });
});

it('the one before stays until all nodes have the next', async () => {
  await writeAll(4);
  write(0, 8);
  restartAll();
  const chosen = { generation: 1, step: 4 };
  for (const node of [0, 1]) expectState(await nodes[node].snapshots.restore(chosen), node, chosen);
});

it('no snapshot is left where the run goes on from a checkpoint', async () => {
  await writeAll(4);
  restartAll();
  expect(await nodes[0].snapshots.restore(null)).toBeNull();
  expect(existsSync(path.join(nodes[0].directory, 'generation-1-step-4'))).toBe(false);
  await expect(nodes[0].snapshots.restore({ generation: 1, step: 4 })).resolves.toMatch(/step-4$/);
  nodes[1].snapshots.clear();
  begin(1, 2);
  await nodes[0].snapshots.restore(null);
  await expect(nodes[0].snapshots.restore({ generation: 1, step: 4 })).rejects.toMatchObject({
    code: 'BAD_CHECKPOINT',
    message: expect.stringMatching(/step 4 cannot be fetched .*does not hold node 0's state of step 4/),
  });
});

it('another generation, another run and other files than asked for are refused', async () => {
  await writeAll(4);
  const address = await listenOnLoopback(nodes[0].server);
  const folder = path.join(temporaryFolder(), 'fetched');
  const fetch = (change: object, allowed = filesOfNode(config, 0)) =>
    fetchSnapshot({
      address,
      security: NO_SECURITY,
      folder,
      allowed,
      timeoutMs: 5_000,
      request: { runId, generation: 1, snapshotGeneration: 1, step: 4, node: 0, withShared: true, ...change },
      signal: new AbortController().signal,
    });
  await expect(fetch({ generation: 2 })).rejects.toThrow(/not in generation 2/);
  await expect(fetch({ runId: 'other' })).rejects.toThrow(/of run other/);
  await expect(fetch({}, ['shared.safetensors'])).rejects.toThrow(/optimizer-shared.*not of that node/);
  const { files } = await fetch({});
  expect(files).toHaveLength(7);
  const own = path.join(nodes[0].directory, 'generation-1-step-4', files[0].file);
  expect(readFileSync(path.join(folder, files[0].file))).toEqual(readFileSync(own));
  writeFileSync(own, Buffer.alloc(files[0].bytes));
  await expect(fetch({})).rejects.toThrow(/a damaged shared\.safetensors/);
});
